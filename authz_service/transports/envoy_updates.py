"""Whether Envoy has taken the configuration that was written for it, as it says itself."""

import asyncio
from pathlib import Path
from typing import Final

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector
from prometheus_client import Gauge
from prometheus_client.registry import Collector

_LOOK_SECONDS: Final = 0.5
_REJECTED: Final = "update_rejected"
_SUCCESS: Final = "update_success"
_STATISTICS: Final = r"(lds|cds|rds).*\.update_(rejected|success)$"

_log = structlog.get_logger(__name__)


class EnvoyUpdates:
    """Watches Envoy's counters of accepted and rejected updates.

    Envoy goes on with what it has when it rejects a file, so nobody else would notice. No Envoy,
    or one that does not answer, says nothing: that is not ours to judge.
    """

    def __init__(self, admin: Path) -> None:
        self._admin = admin
        self._seen: dict[str, int] | None = None
        self._rejected = Gauge(
            "authz_envoy_update_rejected",
            "1 while Envoy refuses the configuration written last.",
            registry=None,
        )
        self._rejecting: set[str] = set()

    @property
    def is_rejecting(self) -> bool:
        """Whether what Envoy uses is not what was written last."""
        return bool(self._rejecting)

    @property
    def has_been_seen(self) -> bool:
        """Whether an Envoy has ever answered."""
        return self._seen is not None

    @property
    def collector(self) -> Collector:
        """The series to expose."""
        return self._rejected

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                self._judge(await _update_counters(self._admin))
            except (OSError, ClientError, ValueError):
                continue

    def _judge(self, counters: dict[str, int]) -> None:
        before, self._seen = self._seen, counters
        was_rejecting = self.is_rejecting
        if before is None:
            # Of what came before the first look only this is sure: never taken is not in force.
            has = {name for name, value in counters.items() if value}
            self._rejecting = _kinds(has, _REJECTED) - _kinds(has, _SUCCESS)
        else:
            is_new_envoy = any(value < before.get(name, 0) for name, value in counters.items())
            self._compare({} if is_new_envoy else before, counters)
        self._rejected.set(self.is_rejecting)
        if self.is_rejecting and not was_rejecting:
            _log.error("Envoy refuses its configuration and goes on with the one before")

    def _compare(self, before: dict[str, int], counters: dict[str, int]) -> None:
        """Each kind of file by itself: a good listener says nothing of the routes beside it."""
        grown = {name for name, value in counters.items() if value > before.get(name, 0)}
        self._rejecting -= _kinds(grown, _SUCCESS)
        self._rejecting |= _kinds(grown, _REJECTED)


def _kinds(counters: set[str], outcome: str) -> set[str]:
    return {name.removesuffix(f".{outcome}") for name in counters if name.endswith(f".{outcome}")}


async def _update_counters(admin: Path) -> dict[str, int]:
    async with (
        ClientSession(
            connector=UnixConnector(str(admin)), timeout=ClientTimeout(total=_LOOK_SECONDS)
        ) as session,
        session.get("http://envoy/stats", params={"filter": _STATISTICS}) as answer,
    ):
        lines = (await answer.text()).splitlines()
    pairs = (line.partition(": ") for line in lines)
    return {name: int(value) for name, _, value in pairs}
