"""Servers of their own for tests that break them, on both event loops there are."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.conformance.storage.server import VALKEY, Server


@pytest.fixture
def server() -> Iterator[Server]:
    """A Valkey that a test may kill."""
    with Server(VALKEY) as server:
        yield server


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on the standard library's loop and the deployed one: details differ."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
