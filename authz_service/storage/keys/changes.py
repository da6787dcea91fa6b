"""The key store in Redis or Valkey, for those who follow it."""

from collections.abc import Mapping, Sequence
from typing import Final

from authz_service.identity.key_changes import Mark, News, Page, Version
from authz_service.storage.keys.client import KeyServer
from authz_service.storage.keys.names import CHANGES, GENERATION, RECORDS
from authz_service.storage.keys.store import split

_BEGINNING: Final = b"0-0"
_WAIT_MS: Final = 400
# Read without a pause for checks: about two milliseconds.
_AT_ONCE: Final = 100

_Entries = Sequence[tuple[bytes, Mapping[bytes, bytes]]]


class RedisKeyChanges:
    """Records a page at a time, and the stream of changes.

    Pages and changes come in one reply, in this order: what the changes say is never older than
    what the page says, unless the page is ahead.
    """

    def __init__(self, server: KeyServer) -> None:
        self._server = server

    async def mark(self) -> Mark:
        """The latest change."""
        async with self._server.asked() as client:
            async with client.pipeline(transaction=True) as pipe:
                pipe.get(GENERATION).xrevrange(CHANGES, count=1)
                generation, latest = await pipe.execute()
            return Mark(int(generation or 0), latest[0][0] if latest else _BEGINNING)

    async def page(self, cursor: int, after: Mark) -> Page:
        """The page at a cursor; the first one is at 0. A record may come more than once."""
        async with self._server.asked() as client:
            async with client.pipeline(transaction=False) as pipe:
                pipe.hscan(RECORDS, cursor, count=_AT_ONCE)
                pipe.xread({CHANGES: after.entry}, count=_AT_ONCE)
                (next_cursor, records), streams = await pipe.execute()
            versions = [Version(_text(key_id), *split(value)) for key_id, value in records.items()]
            return Page(versions, int(next_cursor), _news(streams, after))

    async def wait(self, after: Mark) -> News:
        """What changes next. Nothing, if nothing does for 0.4 s."""
        async with self._server.asked() as client:
            streams = await client.xread({CHANGES: after.entry}, count=_AT_ONCE, block=_WAIT_MS)
            return _news(streams, after)

    async def check(self, after: Mark) -> tuple[int, News]:
        """The generation of the store, and what it tells of the way there, at one moment."""
        async with self._server.asked() as client:
            async with client.pipeline(transaction=True) as pipe:
                pipe.get(GENERATION).xread({CHANGES: after.entry}, count=_AT_ONCE)
                generation, streams = await pipe.execute()
            return int(generation or 0), _news(streams, after)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._server.close()


def _news(streams: Sequence[tuple[bytes, _Entries]], after: Mark) -> News:
    entries: _Entries = streams[0][1] if streams else ()
    if not entries:
        return News((), after)
    changes = [
        Version(
            _text(fields.get(b"id", b"")),
            int(fields.get(b"generation", b"-1")),
            fields.get(b"record"),
        )
        for _, fields in entries
    ]
    return News(changes, Mark(changes[-1].generation, entries[-1][0]))


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
