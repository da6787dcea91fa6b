"""gRPC health over a real socket; messages are spelled out as the bytes of the protocol."""

import asyncio
from typing import Any, TypeAlias

import grpc
import pytest

from authz_service.transports.probe import is_serving

Stack: TypeAlias = Any  # defined beside these tests, in a conftest

SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
NAME = b"envoy.service.auth.v3.Authorization"
SERVER, AUTHORIZATION, OTHER = b"", b"\n" + bytes([len(NAME)]) + NAME, b"\n\x05other"


@pytest.mark.parametrize("service", [SERVER, AUTHORIZATION])
async def test_a_worker_serves_until_it_drains(stack: Stack, service: bytes) -> None:
    """The server and its service are SERVING, and NOT_SERVING once the drain has begun."""
    assert await stack.worker.health_check(service) == SERVING
    stack.worker.health.drain()
    assert await stack.worker.health_check(service) == NOT_SERVING


async def test_there_is_no_way_back_from_a_drain(stack: Stack) -> None:
    """Draining is final, however often it is asked for."""
    for _ in range(2):
        stack.worker.health.drain()
        assert await stack.worker.health_check(SERVER) == NOT_SERVING
        assert await stack.worker.health_check(AUTHORIZATION) == NOT_SERVING


async def test_an_unknown_service_is_not_found(stack: Stack) -> None:
    """Check answers an unknown service with the status NOT_FOUND, as the protocol says."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.worker.health_check(OTHER)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("service", [SERVER, AUTHORIZATION])
async def test_watch_tells_of_the_drain(stack: Stack, service: bytes) -> None:
    """A watcher hears the status now, and the drain when it comes; then the stream ends."""
    heard = []
    async with asyncio.timeout(5):
        async for status in stack.worker.watch(service):
            heard.append(status)
            stack.worker.health.drain()
    assert heard == [SERVING, NOT_SERVING]


async def test_watch_of_a_draining_worker_says_so_once(stack: Stack) -> None:
    """A watcher that comes late hears NOT_SERVING and nothing more."""
    stack.worker.health.drain()
    async with asyncio.timeout(5):
        assert [status async for status in stack.worker.watch(SERVER)] == [NOT_SERVING]


async def test_watch_of_an_unknown_service_stays_open(stack: Stack) -> None:
    """An unknown service is told as such, and the stream ends only with the worker."""
    heard = []
    async with asyncio.timeout(5):
        async for status in stack.worker.watch(OTHER):
            heard.append(status)
            stack.worker.health.drain()
    assert heard == [SERVICE_UNKNOWN]


async def test_checks_are_answered_while_draining(stack: Stack) -> None:
    """Health changes first; until the server stops, checks that arrive are still answered."""
    stack.worker.health.drain()
    assert await stack.worker.check(b"")


async def test_the_probe_sees_what_envoy_sees(stack: Stack, tmp_path: object) -> None:
    """The probe says yes to a serving worker, no to a draining one and no to nothing at all."""
    assert await is_serving(stack.worker.address) is True
    stack.worker.health.drain()
    assert await is_serving(stack.worker.address) is False
    assert await is_serving(f"unix:{tmp_path}/nobody.sock", timeout_s=0.5) is False
