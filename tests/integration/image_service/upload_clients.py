"""Clients that send large forms at the same time; run as a process.

Arguments: the address, how many clients, how many bytes each. Writes how many jobs were made.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from aiohttp import ClientSession, ClientTimeout, FormData, TCPConnector

from image_service.testing import encoded, identity, picture

_PIECE = os.urandom(256 * 1024)


async def _content(size: int) -> AsyncIterator[bytes]:
    """A small picture, and what stands behind its end."""
    image = encoded(picture())
    yield image
    rest = size - len(image)
    while rest > 0:
        yield _PIECE[:rest]
        rest -= len(_PIECE)


async def _send(session: ClientSession, url: str, size: int) -> bool:
    form = FormData()
    form.add_field("file", _content(size), filename="large.png")
    async with session.post(url, data=form, headers=identity(max_file_bytes=size)) as answer:
        return answer.status == 202


async def _main(url: str, clients: int, size: int) -> None:
    async with ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None)
    ) as session:
        sending = (_send(session, url, size) for _ in range(clients))
        taken = await asyncio.gather(*sending)
    sys.stdout.write(f"{sum(taken)}\n")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], *map(int, sys.argv[2:4])))
