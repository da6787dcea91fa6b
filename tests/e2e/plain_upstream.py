"""An application that answers every request at once, as a program of its own.

`python -m tests.e2e.plain_upstream PORT` takes little time from what is measured beside it.
"""

import asyncio
import sys
from typing import Final, cast

_END_OF_REQUEST: Final = b"\r\n\r\n"
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class _Answering(asyncio.Protocol):
    """Answers requests that have no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(_END_OF_REQUEST)
        self._transport.write(_ANSWER * len(requests))


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answering, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
