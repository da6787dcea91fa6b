"""Clients that send large forms at the same time; run as a process.

Arguments: the port, how many clients, how many bytes each. Writes how many were taken whole.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from aiohttp import ClientSession, ClientTimeout, FormData, TCPConnector

from image_service.testing import identity

_PIECE = os.urandom(256 * 1024)


async def _content(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // len(_PIECE)):
        yield _PIECE


async def _send(session: ClientSession, url: str, size: int) -> bool:
    form = FormData()
    form.add_field("file", _content(size), filename="large.png")
    async with session.post(url, data=form, headers=identity(max_file_bytes=size)) as answer:
        return answer.status == 200 and await answer.json() == {"size": size}


async def _main(port: int, clients: int, size: int) -> None:
    async with ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None)
    ) as session:
        sending = (_send(session, f"http://127.0.0.1:{port}/?forget", size) for _ in range(clients))
        taken = await asyncio.gather(*sending)
    sys.stdout.write(f"{sum(taken)}\n")


if __name__ == "__main__":
    asyncio.run(_main(*map(int, sys.argv[1:4])))
