"""An application that answers with what it received, or as the header `x-do` asks."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from aiohttp import web

from authz_service.core.rules import Policy, Upstream
from tests.unit.envoyconf.builders import default_policy

ROUTE_TIMEOUT_MS = 1_000


class StubUpstream:
    """A server on a thread of its own: the tests are plain functions."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[str] = []  # the request ids that arrived
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Listen on a free port of the loopback address."""
        self._thread.start()
        assert self._listens.wait(10)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._listens.set()
        await self._ended.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request.headers.get("x-request-id", ""))
        return await _ACTIONS[request.headers.get("x-do", "echo")](request)


def policy_for(upstream: StubUpstream) -> Policy:
    """The default policy, with an application that has to be quick."""
    application = Upstream(host="127.0.0.1", port=upstream.port, timeout_ms=ROUTE_TIMEOUT_MS)
    return replace(default_policy(), upstream=application)


async def _echo(request: web.Request) -> web.StreamResponse:
    received = 0
    async for chunk in request.content.iter_any():
        received += len(chunk)
    headers = [[name.lower(), value] for name, value in request.headers.items()]
    return web.json_response({"path": request.path_qs, "headers": headers, "received": received})


async def _hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return await _echo(request)


async def _drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def _garble(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"this is not HTTP\r\n\r\n")
    return await _drop(request)


_ACTIONS: Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
    "echo": _echo,
    "hang": _hang,
    "drop": _drop,
    "garble": _garble,
}
