"""The operators' port over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession

from authz_service.errors import ListenError
from authz_service.transports import operations
from authz_service.transports.operations import Operations, Phase, Scrape, Status

READY = Status(Phase.READY, {"workers": 2})


async def echo(accept: str) -> tuple[bytes, str]:
    """Says what was asked for."""
    return accept.encode(), "text/plain; version=0.0.4; charset=utf-8"


@asynccontextmanager
async def listening(status: Status = READY, metrics: Scrape = echo) -> AsyncIterator[ClientSession]:
    """A client of a listener on a free port."""
    listener = Operations("127.0.0.1", port=0, metrics=metrics, status=lambda: status)
    await listener.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{listener.port}") as client:
            yield client
    finally:
        await listener.stop()


async def test_metrics_are_told_in_the_form_that_was_asked_for() -> None:
    """The header goes to whoever collects, its text and content type come back."""
    async with (
        listening() as client,
        client.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "application/openmetrics-text")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("phase", "code"), [(Phase.STARTING, 503), (Phase.READY, 200), (Phase.DRAINING, 503)]
)
async def test_only_the_ready_are_ready(phase: Phase, code: int) -> None:
    """Everyone is alive, and tells the details."""
    async with listening(Status(phase, {"workers": 1})) as client:
        async with client.get("/readyz") as answer:
            assert answer.status == code
            assert await answer.json() == {"status": phase.value, "details": {"workers": 1}}
        async with client.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/metrics/"),
        ("GET", "/metrics/x"),
        ("GET", "/docs"),
        ("HEAD", "/metrics"),
        ("POST", "/metrics"),
        ("OPTIONS", "/readyz"),
        ("DELETE", "/healthz"),
    ],
)
async def test_everything_else_does_not_exist(method: str, path: str) -> None:
    """No other path, no other method."""
    async with listening() as client, client.request(method, path) as answer:
        assert (answer.status, await answer.read()) == (404, b"")


async def test_a_scrape_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and the other answers do not wait for it."""
    monkeypatch.setattr(operations, "_SCRAPE_SECONDS", 0.2)

    async def hang(_accept: str) -> tuple[bytes, str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with listening(metrics=hang) as client:
        scrape = asyncio.create_task(client.get("/metrics"))
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        assert not scrape.done()
        async with await scrape as answer:
            assert answer.status == 503


async def test_a_taken_port_is_an_error() -> None:
    """Named in the message."""
    first = Operations("127.0.0.1", port=0, metrics=echo, status=lambda: READY)
    await first.start()
    second = Operations("127.0.0.1", port=first.port, metrics=echo, status=lambda: READY)
    try:
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{first.port}: "):
            await second.start()
    finally:
        await second.stop()
        await first.stop()


async def test_a_stopped_listener_is_gone() -> None:
    """Its port is free at once, idle connections included."""
    listener = Operations("127.0.0.1", port=0, metrics=echo, status=lambda: READY)
    await listener.start()
    async with ClientSession(f"http://127.0.0.1:{listener.port}") as client:
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        async with asyncio.timeout(5):
            await listener.stop()
        again = Operations("127.0.0.1", port=listener.port, metrics=echo, status=lambda: READY)
        await again.start()
        await again.stop()
