"""A cluster: one connection to each of its primaries, chosen by the slot of the key."""

import asyncio
from collections.abc import Callable
from typing import Final

import hiredis

from authz_service.addresses import HostAndPort
from authz_service.clock import Clock
from authz_service.errors import StoreError
from authz_service.storage.redis.backoff import Backoff
from authz_service.storage.redis.cluster_map import ClusterMap
from authz_service.storage.redis.connection import Connection
from authz_service.storage.redis.endpoint import ClusterSeeds
from authz_service.storage.redis.link import Command
from authz_service.storage.redis.opening import EndpointOpener
from authz_service.storage.redis.replies import UNFIT_SERVER, error_code
from authz_service.storage.redis.script import Script
from authz_service.storage.redis.slots import MAX_NODES, key_slot, read_redirection

_READY_TIMEOUT_S: Final = 1.0
_MAX_REDIRECTIONS: Final = 2
# Said of one slot, or until nodes agree again: a new connection to the same node brings nothing.
_OF_THE_CLUSTER: Final = frozenset({"CLUSTERDOWN", "TRYAGAIN"})
_DOUBTS: Final = UNFIT_SERVER | _OF_THE_CLUSTER


class Cluster:
    """Talks to the node that serves the key, and follows slots to where they move.

    Every round trip has the deadline of a call for itself. A call is one of them; learning the
    slots first is one more, and so is each of at most two redirections.
    """

    def __init__(
        self, seeds: ClusterSeeds, *, clock: Clock, random: Callable[[], float], timeout_s: float
    ) -> None:
        self._login = seeds.seeds[0]
        self._clock = clock
        self._random = random
        self._timeout_s = timeout_s
        self._map = ClusterMap(seeds, clock=clock, random=random, learnt=self._learnt)
        self._nodes: dict[HostAndPort, Connection] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def has_slots(self) -> bool:
        """It has."""
        return True

    async def connect(self) -> None:
        """Learn the slots, and connect to every node: a second at most.

        Raises:
            StoreError: no node says where the counters are, or one of those that are named cannot
                be connected to. The others are.
        """
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                if not self._map.is_known:
                    await self._map.learn()
                attempts = [node.connect() for node in self._nodes.values()]
                results = await asyncio.gather(*attempts, return_exceptions=True)
        except TimeoutError:
            raise StoreError("the nodes of the counter store cannot be reached in time") from None
        for result in results:
            if result is not None:
                raise result

    async def call(self, command: Command, key: bytes, *, script: Script | None = None) -> object:
        """Send a command about `key` to the node that serves it, and return the reply.

        Raises:
            InconclusiveError: not asked, so soon after an attempt to connect that failed.
            StoreError: no connection or no reply in time, no node serves the key, or nodes send
                the command round in circles.
        """
        slot = key_slot(key)
        place = await self._owner(slot)
        asking = False
        for _ in range(_MAX_REDIRECTIONS + 1):
            reply = await self._ask(place, command, key, script=script, asking=asking)
            redirection = read_redirection(reply, slot=slot, asked=place)
            if redirection is None:
                return reply
            place, asking = redirection.place, not redirection.for_good
            if redirection.for_good:
                self._map.moved(slot, place)
        raise StoreError("the nodes of the counter store do not agree on who serves the key")

    def slot_of(self, key: bytes) -> int:
        """A script may touch the keys of one slot."""
        return key_slot(key)

    def part_of(self, key: bytes) -> str:
        """The address of the node that serves a key now; nothing while that is unknown."""
        place = self._map.owner(key_slot(key))
        return "" if place is None else str(place)

    async def close(self) -> None:
        """Close every connection. Calls after this raise `StoreError`."""
        self._closed = True
        await self._map.close()
        for task in self._leaving:
            task.cancel()
        for node in self._nodes.values():
            await node.close()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _owner(self, slot: int) -> HostAndPort:
        if not self._map.is_known:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._map.learn()
            except TimeoutError:
                raise StoreError("the nodes of the counter store are not known in time") from None
        place = self._map.owner(slot)
        if place is None:
            self._map.doubted()
            raise StoreError("no node of the counter store serves the key")
        return place

    async def _ask(
        self,
        place: HostAndPort,
        command: Command,
        key: bytes,
        *,
        script: Script | None,
        asking: bool,
    ) -> object:
        try:
            reply = await self._node(place).call(command, key, script=script, asking=asking)
        except StoreError:
            self._map.doubted()
            raise
        if isinstance(reply, hiredis.ReplyError) and error_code(reply) in _DOUBTS:
            self._map.doubted()
        return reply

    def _node(self, place: HostAndPort) -> Connection:
        node = self._nodes.get(place)
        if node is not None:
            return node
        if self._closed:
            raise StoreError("the counter store is closed")
        if len(self._nodes) >= MAX_NODES:
            raise StoreError("the counter store names more nodes than a cluster has")
        node = self._nodes[place] = Connection(
            EndpointOpener(self._login.at(place), timeout_s=self._timeout_s),
            clock=self._clock,
            backoff=Backoff(random=self._random),
            timeout_s=self._timeout_s,
            unfit=UNFIT_SERVER - _OF_THE_CLUSTER,
        )
        return node

    def _learnt(self, places: frozenset[HostAndPort]) -> None:
        """Have a connection for each node that serves, and for no other."""
        for place in self._nodes.keys() - places:
            leaving = asyncio.create_task(self._leave(self._nodes.pop(place)))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        for place in places:
            self._node(place)

    async def _leave(self, node: Connection) -> None:
        """Close a connection once the calls on it are over."""
        try:
            await asyncio.sleep(self._timeout_s)
        finally:
            await node.close()
