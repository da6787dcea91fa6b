"""Counting one request at counters of several subjects: one call for each slot of a cluster."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Self

from authz_service.core.counter_key import counter_key, counter_kind, hits_answer_key
from authz_service.core.hits import (
    Counted,
    Hit,
    Says,
    any_sliding,
    is_over,
)
from authz_service.errors import StoreError
from authz_service.storage.base import PartsFailedError
from authz_service.storage.redis.hit_replies import Told, read_hits
from authz_service.storage.redis.replies import KeysApartError, check_count
from authz_service.storage.redis.script import Script, Scripts
from authz_service.storage.redis.servers import Server

_LOOK: Final = "peek"
_ONCE: Final = "once"
_Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class _Group:
    """Hits whose counters one script may touch, each with its place in the request."""

    hits: Mapping[int, Hit]

    @property
    def keys(self) -> list[bytes]:
        return [counter_key(hit.subject, hit.limit) for hit in self.hits.values()]

    def only(self, places: Collection[int]) -> Self:
        return replace(self, hits={at: hit for at, hit in self.hits.items() if at in places})


class HitCalls:
    """Where one script may touch all counters, a request is one call.

    On a cluster all slots are asked at once: first all look, and if nothing refuses the request
    all count. Should one refuse it then, because others were counted in between, what the rest
    took is given back, and until then may keep another request out.

    A request that has an id is counted once under it, each slot remembering its part. Not where
    slots may give back: whether a part was, one slot's answer does not tell.
    """

    def __init__(self, server: Server, *, scripts: Scripts) -> None:
        self._server = server
        self._scripts = scripts

    async def count(self, hits: tuple[Hit, ...], once: str | None) -> Counted:
        """Count a request.

        Raises:
            PartsFailedError: some slots of a cluster answered and others did not.
            StoreError: the server did not answer in time or answered nonsense.
        """
        groups = self._groups(hits)
        if len(groups) == 1:
            told = await self._ask(groups[0], once)
            return _counted(hits, dict(enumerate(told)))
        groups = [_deciding_alone(group) for group in groups]
        if not any_sliding(hits):
            return _counted(hits, await self._ask_all(groups, once))
        found = await self._ask_all(groups, looks=True)
        if _counted(hits, found).over:
            return _counted(hits, found | await self._count_refused(groups, found))
        return await self._count_passing(hits, groups, found)

    def _groups(self, hits: Sequence[Hit]) -> list[_Group]:
        by_slot: dict[int, dict[int, Hit]] = {}
        for place, hit in enumerate(hits):
            slot = self._server.slot_of(counter_key(hit.subject, hit.limit))
            by_slot.setdefault(slot, {})[place] = hit
        return list(map(_Group, by_slot.values()))

    async def _count_refused(
        self, groups: Iterable[_Group], found: Mapping[int, Told]
    ) -> dict[int, Told]:
        """Count what counts in any case. A hit that was over stays it, even in a window anew."""
        fixed = [
            group.only([at for at, hit in group.hits.items() if hit.is_fixed]) for group in groups
        ]
        told = await self._ask_all([group for group in fixed if group.hits])
        return {at: _at_least_as_full(it, found[at]) for at, it in told.items()}

    async def _count_passing(
        self, hits: tuple[Hit, ...], groups: Sequence[_Group], found: Mapping[int, Told]
    ) -> Counted:
        told = await self._ask_all(groups)
        counted = _counted(hits, told)
        if not counted.over:
            return counted
        undone = await self._give_back(groups, told)
        counts = (found[at].count if at in undone else told[at].count for at in range(len(hits)))
        return replace(counted, counts=tuple(counts))

    async def _ask_all(
        self, groups: Sequence[_Group], once: str | None = None, *, looks: bool = False
    ) -> dict[int, Told]:
        """Ask all at once. Unless all answer, what those that do have taken is given back."""
        asked = (self._ask(group, once, looks=looks) for group in groups)
        results = await asyncio.gather(*asked, return_exceptions=True)
        told: dict[int, Told] = {}
        errors: dict[str, StoreError] = {}
        for group, result in zip(groups, results, strict=True):
            if isinstance(result, StoreError):
                errors.update({hit.subject: result for hit in group.hits.values()})
            elif isinstance(result, BaseException):
                raise result
            else:
                told.update(zip(group.hits, result, strict=True))
        if errors:
            await self._give_back(groups, told)
            raise PartsFailedError(errors)
        return told

    async def _ask(
        self, group: _Group, once: str | None = None, *, looks: bool = False
    ) -> tuple[Told, ...]:
        if once is None:
            return await self._run(group, group.keys, *[_LOOK] * looks)
        keys = [*group.keys, hits_answer_key(tuple(group.hits.values()), once)]
        try:
            return await self._run(group, keys, _ONCE)
        except KeysApartError:  # while a slot moves: see `RedisStore.charge`
            return await self._run(group, group.keys)

    async def _run(self, group: _Group, keys: list[bytes], *option: str) -> tuple[Told, ...]:
        arguments: list[_Argument] = []
        for hit in group.hits.values():
            limit = hit.limit
            arguments += (counter_kind(limit), hit.cost, limit.limit - hit.held, limit.window_ms)
            arguments.append(hit.says.value)
        reply = await self._call(self._scripts.hit, keys, (*arguments, *option))
        return read_hits(reply, tuple(group.hits.values()), only_looked=option == (_LOOK,))

    async def _give_back(
        self, groups: Iterable[_Group], told: Mapping[int, Told]
    ) -> Collection[int]:
        """Undo what sliding windows took, and return which hits that were."""
        counted = {at for at, it in told.items() if it.count.counted}
        taken = [
            group.only([at for at, hit in group.hits.items() if at in counted and not hit.is_fixed])
            for group in groups
        ]
        await asyncio.gather(*(self._refund(group, told) for group in taken if group.hits))
        return {at for group in taken for at in group.hits}

    async def _refund(self, group: _Group, told: Mapping[int, Told]) -> None:
        arguments: list[_Argument] = []
        for at, hit in group.hits.items():
            arguments += (counter_kind(hit.limit), hit.cost, hit.limit.window_ms)
            arguments.append(told[at].moment_ms)
        # What cannot be given back is kept until it leaves the window: too few may pass then, and
        # never too many.
        with suppress(StoreError):
            check_count(await self._call(self._scripts.refund, group.keys, arguments))

    async def _call(
        self, script: Script, keys: list[bytes], arguments: Iterable[_Argument]
    ) -> object:
        command = ("EVALSHA", script.digest, len(keys), *keys, *arguments)
        return await self._server.call(command, keys[0], script=script)


def _counted(hits: Sequence[Hit], told: Mapping[int, Told]) -> Counted:
    counts = [told[at].count for at in range(len(hits))]
    return Counted(is_over(hits, counts), tuple(counts))


def _deciding_alone(group: _Group) -> _Group:
    """The hits without those in quota mode having a say: one slot does not know the others."""
    return replace(group, hits={at: _without_quota(hit) for at, hit in group.hits.items()})


def _without_quota(hit: Hit) -> Hit:
    return replace(hit, says=Says.SHADOW) if hit.says is Says.QUOTA else hit


def _at_least_as_full(told: Told, before: Told) -> Told:
    over = told.count.over or before.count.over
    return replace(told, count=replace(told.count, over=over))
