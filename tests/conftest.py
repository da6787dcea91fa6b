"""Hostile defaults: no sockets where none belong, generated cases that repeat, planted secrets."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import pytest_socket
from hypothesis import settings

from authz_service.testing.builders import PlantedSecrets

_ISOLATED = [Path(__file__).parent / folder for folder in ("unit", "property")]

settings.register_profile("local", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def _refuse(*_: object) -> NoReturn:
    raise pytest_socket.SocketBlockedError


@pytest.fixture(autouse=True)
def _no_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Unit and property tests reach nothing: no network, no Unix socket, no listener.

    Only a pair of connected sockets can be had: an event loop wakes itself through one.
    """
    if not any(request.path.is_relative_to(folder) for folder in _ISOLATED):
        yield
        return
    pytest_socket.disable_socket(allow_unix_socket=True)
    for verb in ("bind", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, verb, _refuse)
    yield
    pytest_socket.enable_socket()


@pytest.fixture
def planted_secrets() -> PlantedSecrets:
    """Secrets to plant; whatever comes out is searched for them."""
    return PlantedSecrets()
