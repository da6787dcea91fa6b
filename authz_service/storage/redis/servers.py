"""What keeps counters, behind one face: a server, the primary that sentinels name, a cluster."""

from collections.abc import Callable
from typing import Protocol

from authz_service.clock import Clock
from authz_service.storage.redis.backoff import Backoff
from authz_service.storage.redis.cluster import Cluster
from authz_service.storage.redis.connection import Connection
from authz_service.storage.redis.endpoint import ClusterSeeds, Endpoint, SentinelService, Target
from authz_service.storage.redis.link import Command
from authz_service.storage.redis.opening import EndpointOpener, Opener
from authz_service.storage.redis.script import Script
from authz_service.storage.redis.sentinel import SentinelOpener


class Server(Protocol):
    """Runs commands about one key each, and scripts that are known by their digest."""

    @property
    def has_slots(self) -> bool:
        """Whether there are keys that no script may touch together."""

    async def connect(self) -> None:
        """Be ready for the first call: one attempt, for a second at most.

        Raises:
            StoreError: that failed.
        """

    async def call(self, command: Command, key: bytes, *, script: Script | None = None) -> object:
        """Send a command about `key`; an error reply is returned, not raised.

        Who does not know `script` is sent it, and the command once more.

        Raises:
            StoreError: no connection or no reply in time.
        """

    def slot_of(self, key: bytes) -> int:
        """Return a number that keys share which one script may touch."""

    def part_of(self, key: bytes) -> str:
        """Name what serves a key now; nothing where all keys are served by one or it is unknown."""

    async def close(self) -> None:
        """Let go of every connection. Calls after this raise `StoreError`."""


def server_at(
    target: Target, *, clock: Clock, random: Callable[[], float], timeout_s: float
) -> Server:
    """Make what a URL names; connects to nothing. No single wait is longer than `timeout_s`."""
    if isinstance(target, ClusterSeeds):
        return Cluster(target, clock=clock, random=random, timeout_s=timeout_s)
    return Connection(
        _opener(target, timeout_s),
        clock=clock,
        backoff=Backoff(random=random),
        timeout_s=timeout_s,
    )


def _opener(target: Endpoint | SentinelService, timeout_s: float) -> Opener:
    if isinstance(target, SentinelService):
        return SentinelOpener(target, timeout_s=timeout_s)
    return EndpointOpener(target, timeout_s=timeout_s)
