"""Servers of their own for tests that break them."""

from collections.abc import Iterator

import pytest

from tests.conformance.storage.server import VALKEY, Server


@pytest.fixture
def server() -> Iterator[Server]:
    """A Valkey that a test may kill."""
    with Server(VALKEY) as server:
        yield server
