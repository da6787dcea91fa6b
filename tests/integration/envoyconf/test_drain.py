"""`authz_service drain`: a real Envoy says goodbye, closes its door and finishes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Final

import pytest

from authz_service.envoyconf.model import EnvoySettings
from authz_service.envoyconf.render import render
from authz_service.run_folder import ADMIN_SOCKET
from authz_service.transports.envoy_drain import drain_envoy
from tests.integration.envoyconf.client import read
from tests.integration.envoyconf.envoy_process import Envoy, local_settings, running
from tests.integration.envoyconf.stub_authz import StubAuthz
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for

_HALF: Final = b"x" * 500


@pytest.fixture
def own_envoy(
    folder: Path,
    settings: EnvoySettings,
    upstream: StubUpstream,
    authz: StubAuthz,  # noqa: ARG001  (it has to serve before Envoy asks)
) -> Iterator[Envoy]:
    """An Envoy that a test may drain, with its admin socket where the service has it."""
    own = replace(
        local_settings(folder),
        authz_sockets=settings.authz_sockets,
        admin_socket=str(folder / ADMIN_SOCKET),
    )
    with running(render(policy_for(upstream), own), own) as started:
        yield started


def drain(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """The command, as `preStop` runs it."""
    return subprocess.Popen(
        [sys.executable, "-m", "authz_service", "drain"],
        env={**os.environ, "AUTHZ_RUN_DIR": str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def half_an_upload(envoy: Envoy) -> Iterator[socket]:
    """A request under way: the other half of its body is still to come."""
    with envoy.public.connect() as connection:
        connection.sendall(
            b"POST /api/v1/images/upscale HTTP/1.1\r\nHost: x\r\nX-API-Key: free\r\n"
            b"Content-Length: 1000\r\n\r\n" + _HALF
        )
        yield connection


def test_nobody_is_cut_off(own_envoy: Envoy) -> None:
    """Goodbye: requests pass, connections close. Then the door: closed, and the last one passes."""
    drained = drain(own_envoy.settings.run_dir, AUTHZ_DRAIN_SECONDS="2")
    assert drained.stdout is not None
    with half_an_upload(own_envoy) as under_way, own_envoy.public.connect() as kept:
        assert drained.stdout.readline().startswith("Envoy says goodbye for 1.5 s")
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        late = read(kept)
        assert (late.status, late.headers["connection"]) == (200, "close")
        assert own_envoy.public.send("GET", "/healthz").status == 200
        assert own_envoy.scrape.send("GET", "/ready").status == 503

        assert drained.stdout.readline() == "the door is closed\n"
        assert drained.stdout.readline() == "1 under way\n"
        with pytest.raises(ConnectionRefusedError):
            own_envoy.public.connect()

        under_way.sendall(_HALF)
        answer = read(under_way)

    told, errors = drained.communicate(timeout=10)
    assert (answer.status, answer.json()["received"]) == (200, 1000)
    assert (told, errors, drained.returncode) == ("drained\n", "", 0)


def test_who_takes_too_long_is_counted(own_envoy: Envoy) -> None:
    """The wait has an end, and the number of requests that were still under way."""
    admin = Path(own_envoy.settings.admin_socket)
    with half_an_upload(own_envoy), half_an_upload(own_envoy):
        assert drain_envoy(admin, notice_s=0.2, finish_s=0.2) == 2


def test_without_an_envoy_there_is_one_clear_line(tmp_path: Path) -> None:
    """Where it was looked for and what to look at; exit code 1."""
    told, errors = (drained := drain(tmp_path)).communicate(timeout=20)

    assert (told, drained.returncode) == ("", 1)
    assert errors == (
        f"error: no Envoy answers at {tmp_path}/{ADMIN_SOCKET}:"
        " if one runs, AUTHZ_RUN_DIR must be its run folder\n"
    )


def test_it_starts_without_what_it_does_not_use(tmp_path: Path) -> None:
    """A pod that stops may be short of processor: of the service only a little is imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "authz_service", "drain", "--help"],
        env={**os.environ, "AUTHZ_RUN_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "authz_service.settings" in imported
    assert imported.isdisjoint({"authz_service.cli", "aiohttp", "asyncio", "grpc", "redis", "yaml"})
