"""Hostile defaults: no sockets where none belong, generated cases that repeat, planted secrets."""

import os
import socket
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import pytest
import pytest_socket
import structlog
from hypothesis import settings

from authz_service.testing.builders import PlantedSecrets

if TYPE_CHECKING:
    from tests.servers.cluster import ClusterServers
    from tests.servers.sentinels import SentinelServers

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


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """What a test makes of the process's logging ends with it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def planted_secrets() -> PlantedSecrets:
    """Secrets to plant; whatever comes out is searched for them."""
    return PlantedSecrets()


@pytest.fixture(scope="session")
def auth() -> ModuleType:
    """`envoy.service.auth.v3`, as others generated it from Envoy's own definitions."""
    return _envoy_messages("envoy.service.auth.v3")


@pytest.fixture(scope="session")
def core() -> ModuleType:
    """`envoy.config.core.v3`, from the same source."""
    return _envoy_messages("envoy.config.core.v3")


@pytest.fixture(scope="session")
def ratelimit() -> ModuleType:
    """`envoy.service.ratelimit.v3`, from the same source."""
    return _envoy_messages("envoy.service.ratelimit.v3")


@pytest.fixture(scope="session")
def ratelimit_common() -> ModuleType:
    """`envoy.extensions.common.ratelimit.v3`, from the same source."""
    return _envoy_messages("envoy.extensions.common.ratelimit.v3")


@pytest.fixture(scope="session")
def _cluster_servers() -> "Iterator[ClusterServers]":
    from tests.servers.cluster import ClusterServers  # noqa: PLC0415 - most runs need none

    with ClusterServers() as servers:
        yield servers


@pytest.fixture
def cluster(_cluster_servers: "ClusterServers") -> "ClusterServers":
    """Six nodes of a real cluster, whole and empty; a test may break them."""
    _cluster_servers.whole()
    _cluster_servers.flush()
    return _cluster_servers


@pytest.fixture(scope="session")
def _sentinel_servers() -> "Iterator[SentinelServers]":
    from tests.servers.sentinels import SentinelServers  # noqa: PLC0415 - most runs need none

    with SentinelServers() as servers:
        yield servers


@pytest.fixture
def sentinels(_sentinel_servers: "SentinelServers") -> "SentinelServers":
    """A real Sentinel set-up, whole and empty; a test may break it."""
    _sentinel_servers.whole()
    _sentinel_servers.flush()
    return _sentinel_servers


def _envoy_messages(package: str) -> ModuleType:
    """Imported when first needed: it takes a second, and warns of its own age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(f"envoy_data_plane.{package}")
