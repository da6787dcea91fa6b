"""The key store in Redis or Valkey, for those who change keys."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from importlib.resources import files
from typing import Final

from authz_service.errors import StoreError
from authz_service.identity.key_codec import decode, encode
from authz_service.identity.key_store import KeyChange, KeyConflictError, StoredKey
from authz_service.storage.keys.client import KeyServer
from authz_service.storage.keys.names import CHANGES, DIGESTS, GENERATION, RECORDS, USED

KEPT_CHANGES: Final = 10_000
_PAGE: Final = 200
_CONFLICTS: Final[Mapping[int, str]] = {
    1: "is not as it was",
    2: "is there already",
    3: "has the digest of another key",
}
_MAX_DIGITS: Final = 19  # of what Redis counts with


class RedisKeyStore:
    """Records in one hash, with an index of digests beside it. Changes are made by one script.

    A change that was not answered may have been made all the same.
    """

    def __init__(self, server: KeyServer) -> None:
        self._server = server
        self._apply = server.client.register_script(apply_script())

    async def find(self, key_id: str) -> StoredKey | None:
        """The record of an id."""
        async with self._server.asked() as client:
            value = await client.hget(RECORDS, key_id)
        if value is None:
            return None
        try:
            return decode(split(value)[1])
        except ValueError as error:
            raise StoreError(
                f"the key store's record of {key_id} makes no sense: {error}"
            ) from None

    async def all(self) -> AsyncIterator[StoredKey]:
        """Every record that makes sense, in no order."""
        seen: set[bytes] = set()
        cursor, is_last = 0, False
        while not is_last:
            async with self._server.asked() as client:
                cursor, page = await client.hscan(RECORDS, cursor, count=_PAGE)
            for key_id, value in page.items():
                if key_id not in seen:
                    seen.add(key_id)
                    try:
                        record = decode(split(value)[1])
                    except ValueError:
                        continue  # it does not count anywhere
                    yield record
            is_last = cursor == 0

    async def apply(self, changes: Sequence[KeyChange]) -> None:
        """Make all changes at once or none.

        Raises:
            KeyConflictError: a record is not as `before` says, or an id or a digest is taken.
            ValueError: a record makes no sense.
            StoreError: no answer; the changes may have been made.
        """
        if not changes:
            return
        _check_each_id_once(changes)
        arguments: list[str | bytes | int] = [KEPT_CHANGES]
        for change in changes:
            arguments += (change.key_id, *_of(change.before), *_of(change.after))
        async with self._server.asked():
            is_done, *rest = await self._apply(
                keys=[RECORDS, DIGESTS, GENERATION, CHANGES, USED], args=arguments
            )
            if is_done:
                return
            number, what = rest
            key_id, conflict = changes[number - 1].key_id, _CONFLICTS[what]
        raise KeyConflictError(f"key {key_id}: {conflict}")

    async def last_used(self, key_ids: Collection[str]) -> Mapping[str, int]:
        """When keys were last used, where it is known."""
        if not key_ids:
            return {}
        ids = list(key_ids)
        async with self._server.asked() as client:
            moments = await client.hmget(USED, ids)
            return {
                key_id: int(at_ms)
                for key_id, at_ms in zip(ids, moments, strict=True)
                if at_ms is not None
            }

    async def note_used(self, uses: Mapping[str, int]) -> None:
        """Note when keys were used, in epoch milliseconds by id."""
        async with self._server.asked() as client:
            await client.hset(USED, mapping=dict(uses))

    async def close(self) -> None:
        """Let go of every connection."""
        await self._server.close()


def apply_script() -> str:
    """Read the script that this store runs, from the package."""
    return files("authz_service.storage").joinpath("lua/apply_keys.lua").read_text()


def split(value: bytes) -> tuple[int, bytes]:
    """A stored value as generation and text; -1 and nothing where it has no such form."""
    generation, separator, text = value.partition(b" ")
    if not separator or not generation.isdigit() or len(generation) > _MAX_DIGITS:
        return -1, b""
    return int(generation), text


def _of(key: StoredKey | None) -> tuple[bytes, str]:
    return (b"", "") if key is None else (encode(key), key.digest)


def _check_each_id_once(changes: Sequence[KeyChange]) -> None:
    ids: set[str] = set()
    for change in changes:
        if change.key_id in ids:
            raise KeyConflictError(f"key {change.key_id}: is changed twice at once")
        ids.add(change.key_id)
