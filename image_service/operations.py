"""The operators' routes, on a port of their own: metrics, liveness, and readiness with details."""

from http import HTTPStatus

from aiohttp import web

from image_service.metrics import Metrics
from image_service.readiness import Readiness
from image_service.worker import Worker


class Operations:
    """The handlers."""

    def __init__(self, metrics: Metrics, *, readiness: Readiness, worker: Worker) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._worker = worker

    def web_app(self) -> web.Application:
        """An application of exactly these routes."""
        application = web.Application()
        application.router.add_route("GET", "/metrics", self.metrics)
        application.router.add_route("GET", "/healthz", self.healthz)
        application.router.add_route("GET", "/readyz", self.readyz)
        return application

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Everything the service counts."""
        text, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def healthz(self, _request: web.Request) -> web.StreamResponse:
        """The process lives."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.StreamResponse:
        """Whether new work is welcome, and how much of the old is in hand."""
        draining = self._readiness.draining
        details = {
            "requests_in_hand": self._readiness.in_hand,
            "jobs_running": self._worker.running,
            "jobs_waiting": self._worker.waiting,
        }
        return web.json_response(
            {"status": "draining" if draining else "ready", "details": details},
            status=HTTPStatus.SERVICE_UNAVAILABLE if draining else HTTPStatus.OK,
        )
