"""Receive: sockets and RPC. No decisions."""
