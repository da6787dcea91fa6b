"""One scrape: every worker's exposition and Envoy's request series, as one text.

A part that does not answer in time is left out, and counted. Nothing here listens.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.registry import Collector

from authz_service.observe.envoy_stats import request_series, stats_filter
from authz_service.observe.exposition import Encoder
from authz_service.observe.merge import MalformedExpositionError, Merger, render
from authz_service.transports.metrics_socket import fetch

_PART_SECONDS: Final = 2.0
_MAX_ENVOY_BYTES: Final = 16 << 20
_WORKER: Final = "worker"
_ENVOY: Final = "envoy"
_OURSELVES: Final = "supervisor"
"""Told apart from every worker by its name, and never retired."""

_log = structlog.get_logger(__name__)

Workers = Callable[[], Mapping[str, Path]]
"""The living workers by name, and where each one's exposition is."""


class Scrape:
    """Collects what the sidecar and its Envoy count. One collection at a time.

    `envoy_admin` is the Unix socket of Envoy's admin interface, `prefix` the policy's prefix of
    the request series, asked anew each time.
    """

    def __init__(
        self, merger: Merger, *, workers: Workers, envoy_admin: Path, prefix: Callable[[], str]
    ) -> None:
        self._merger = merger
        self._workers = workers
        self._envoy_admin = envoy_admin
        self._prefix = prefix
        self._turn = asyncio.Lock()
        self._registry = CollectorRegistry()
        self._encoder = Encoder()
        errors = Counter(
            "authz_scrape_errors_total",
            "Parts that were left out of a scrape.",
            ("source",),
            registry=self._registry,
        )
        self._errors = {source: errors.labels(source) for source in (_WORKER, _ENVOY)}

    def register(self, collector: Collector) -> None:
        """Show the series of a part of this process too, beside those of workers or among them."""
        self._registry.register(collector)

    async def __call__(self, accept: str) -> tuple[bytes, str]:
        """Everything, as text in a format that `accept` allows, and its content type."""
        async with self._turn:
            requests, _ = await asyncio.gather(self._request_series(), self._refresh())
            # Merged, not appended: a series of workers may be one of ours as well.
            self._merger.update(_OURSELVES, self._encoder.encode(self._registry.collect()))
        return render([*self._merger.families(), *requests], accept)

    async def refresh(self) -> None:
        """Take a snapshot of every worker: one that is killed loses what it counted since."""
        async with self._turn:
            await self._refresh()

    async def _refresh(self) -> None:
        workers = self._workers()
        await asyncio.gather(*(self._update(name, path) for name, path in workers.items()))

    async def _update(self, worker: str, path: Path) -> None:
        """On failure the worker's last snapshot stands: a counter must not seem to fall."""
        try:
            text = await fetch(path, _PART_SECONDS)
            if worker in self._workers():  # it may have been retired meanwhile
                self._merger.update(worker, text)
        except (OSError, MalformedExpositionError) as error:
            self._left_out(_WORKER, error)

    async def _request_series(self) -> Sequence[Metric]:
        prefix = self._prefix()
        try:
            async with asyncio.timeout(_PART_SECONDS):
                text = await _envoy_stats(self._envoy_admin, stats_filter(prefix))
        except (OSError, ClientError) as error:
            self._left_out(_ENVOY, error)
            return ()
        return request_series(text, prefix=prefix)

    def _left_out(self, source: str, error: Exception) -> None:
        self._errors[source].inc()
        _log.warning("left out of a scrape", source=source, error=type(error).__name__)


async def _envoy_stats(admin: Path, pattern: str) -> str:
    async with (
        ClientSession(
            connector=UnixConnector(str(admin)), timeout=ClientTimeout(total=_PART_SECONDS)
        ) as session,
        session.get(
            "http://envoy/stats/prometheus", params={"filter": pattern}, raise_for_status=True
        ) as answer,
    ):
        text = bytearray()
        async for chunk in answer.content.iter_any():
            text += chunk
            if len(text) > _MAX_ENVOY_BYTES:
                raise OSError("Envoy's statistics never end")
        return text.decode("utf-8", "replace")
