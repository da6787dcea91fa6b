"""One Envoy, one authorizer and one application for all tests of this folder."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.envoyconf.model import LISTENERS_FILE, EnvoySettings
from authz_service.envoyconf.render import render
from tests.integration.envoyconf.client import Client
from tests.integration.envoyconf.envoy_process import Envoy, local_settings, running, short_folder
from tests.integration.envoyconf.stub_authz import StubAuthz
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for

_SHIPPED_HEADERS_TIMEOUT = "request_headers_timeout: 10.000s"
_QUICK_HEADERS_TIMEOUT = "request_headers_timeout: 0.500s"


@pytest.fixture(scope="session")
def settings() -> Iterator[EnvoySettings]:
    """The settings of the shared Envoy."""
    folder = short_folder()
    yield local_settings(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def authz(settings: EnvoySettings) -> Iterator[StubAuthz]:
    """The authorizer."""
    server = StubAuthz(settings.authz_sockets[0])
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def upstream() -> Iterator[StubUpstream]:
    """The application."""
    server = StubUpstream()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def envoy(
    settings: EnvoySettings,
    upstream: StubUpstream,
    authz: StubAuthz,  # noqa: ARG001  (it has to serve before Envoy asks)
) -> Iterator[Envoy]:
    """Envoy, serving the default policy. Only its patience for headers is a test's."""
    files = render(policy_for(upstream), settings)
    assert _SHIPPED_HEADERS_TIMEOUT in files[LISTENERS_FILE]
    files[LISTENERS_FILE] = files[LISTENERS_FILE].replace(
        _SHIPPED_HEADERS_TIMEOUT, _QUICK_HEADERS_TIMEOUT
    )
    with running(files, settings) as started:
        yield started


@pytest.fixture
def public(envoy: Envoy) -> Client:
    """The door for everyone."""
    return envoy.public


@pytest.fixture
def request_id() -> str:
    """An id that no other request of the run has."""
    return f"test-{secrets.token_hex(8)}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for an Envoy of a test's own."""
    path = short_folder()
    yield path
    shutil.rmtree(path)
