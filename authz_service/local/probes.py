"""Whether a part of the stack answers. Probes never raise: anything but a clear yes is no."""

import asyncio
from pathlib import Path

from authz_service.local.ports import LOOPBACK

_TIMEOUT_S = 1.0


async def http_ok(port: int, path: str) -> bool:
    """Whether `GET path` on a loopback port is answered with 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(request.encode())
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def valkey_ok(socket_path: Path) -> bool:
    """Whether a Valkey answers PING on a Unix socket."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(str(socket_path))
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
