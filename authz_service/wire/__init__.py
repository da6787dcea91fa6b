"""Translate: protobuf to our values and back. Pure; the only users of generated code."""
