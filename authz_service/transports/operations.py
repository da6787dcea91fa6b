"""The operators' port: `GET /metrics`, `GET /healthz`, `GET /readyz`, and what is added to them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from authz_service.errors import ListenError

_SCRAPE_SECONDS: Final = 8.0  # Prometheus waits for ten
_CLOSE_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)

Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]
"""From the value of `Accept` to a text and its content type."""


Endpoints = Mapping[tuple[str, str], Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]]
"""By method and path, what answers there."""


class Phase(StrEnum):
    """Where the process stands; only a ready one gets traffic."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Status:
    """The answer of `/readyz`. `details` must be fit for JSON and for anyone's eyes."""

    phase: Phase
    details: Mapping[str, object] = field(default_factory=dict)


class Operations:
    """One HTTP listener. What it tells comes from the callables, asked anew each time."""

    def __init__(
        self,
        host: str,
        *,
        port: int,
        metrics: Scrape,
        status: Callable[[], Status],
        more: Endpoints | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._metrics = metrics
        self._status = status
        self._more = more or {}
        self._web = web.Server(self._answer, access_log=None, auto_decompress=False)
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the port is taken, or the address is not ours.
        """
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._web, self._host, self._port)
        except OSError as error:
            reason = error.strerror or error
            raise ListenError(f"cannot listen on {self._host}:{self._port}: {reason}") from error
        self._port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and let scrapes in hand end."""
        if self._listener is not None:
            self._listener.close()
        self._web.pre_shutdown()  # idle connections end at once
        await self._web.shutdown(_CLOSE_SECONDS)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.method, request.path:
            case "GET", "/metrics":
                return await self._scrape(request.headers.get("Accept", ""))
            case "GET", "/healthz":
                return web.json_response({"status": "ok"})
            case "GET", "/readyz":
                return self._readiness()
            case added if added in self._more:
                return await self._more[added](request)
            case _:
                return web.Response(status=HTTPStatus.NOT_FOUND)

    async def _scrape(self, accept: str) -> web.StreamResponse:
        try:
            async with asyncio.timeout(_SCRAPE_SECONDS):
                text, content_type = await self._metrics(accept)
        except TimeoutError:
            _log.warning("scrape took too long")
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(body=text, headers={"Content-Type": content_type})

    def _readiness(self) -> web.StreamResponse:
        status = self._status()
        ready = status.phase is Phase.READY
        return web.json_response(
            {"status": status.phase.value, "details": dict(status.details)},
            status=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
        )
