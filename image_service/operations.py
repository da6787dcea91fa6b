"""The operators' routes, on a port of their own: metrics, liveness, and readiness with details.

Either process has its own; what differs is what it knows about itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web

from image_service.metrics import Metrics
from image_service.readiness import Readiness

Details = Callable[[], Awaitable[Mapping[str, object]]]
"""What a process has in hand, for people; asked whenever somebody looks."""


class Operations:
    """The handlers. `details` is asked before metrics too, and may bring them up to date."""

    def __init__(self, metrics: Metrics, *, readiness: Readiness, details: Details) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._details = details

    def web_app(self) -> web.Application:
        """An application of exactly these routes."""
        application = web.Application()
        application.router.add_route("GET", "/metrics", self.metrics)
        application.router.add_route("GET", "/healthz", self.healthz)
        application.router.add_route("GET", "/readyz", self.readyz)
        return application

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Everything the process counts."""
        await self._details()
        text, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def healthz(self, _request: web.Request) -> web.StreamResponse:
        """The process lives."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.StreamResponse:
        """Whether new work is welcome, and how much of the old is in hand."""
        draining = self._readiness.draining
        return web.json_response(
            {"status": "draining" if draining else "ready", "details": await self._details()},
            status=HTTPStatus.SERVICE_UNAVAILABLE if draining else HTTPStatus.OK,
        )
