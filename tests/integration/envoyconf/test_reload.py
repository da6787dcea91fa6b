"""A changed policy reaches a running Envoy: nothing is dropped, nothing bad is taken."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from authz_service.core.rules import Authentication, Policy, Route
from authz_service.envoyconf.model import ROUTES_FILE
from authz_service.envoyconf.render import render, write
from tests.integration.envoyconf.client import Answer, read
from tests.integration.envoyconf.envoy_process import Envoy, eventually, local_settings, running
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for
from tests.unit.envoyconf.builders import route

_NEW: Route = route("new", ("GET",), "/new", authentication=Authentication.NONE)


@dataclass(frozen=True, slots=True)
class Stack:
    """An Envoy of this module's own, and the policy it started with."""

    envoy: Envoy
    policy: Policy

    def reload(self, policy: Policy) -> None:
        """What the service does when its policy has changed."""
        write(render(policy, self.envoy.settings), self.envoy.settings.run_dir)

    def metric(self, name: str) -> float:
        """The sum of Envoy's series of that name."""
        lines = self.envoy.scrape.send("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))


@pytest.fixture
def stack(folder: Path, upstream: StubUpstream) -> Iterator[Stack]:
    """No authorizer: these tests use routes that need none."""
    settings, policy = local_settings(folder), policy_for(upstream)
    with running(render(policy, settings), settings) as envoy:
        yield Stack(envoy, policy)


def _ask(connection: socket.socket, path: str) -> Answer:
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    return read(connection)


def test_a_new_route_is_served_on_an_old_connection(stack: Stack) -> None:
    """Routes change under open connections."""
    with stack.envoy.public.connect() as connection:
        assert _ask(connection, "/new").status == 404
        stack.reload(replace(stack.policy, routes=(*stack.policy.routes, _NEW)))
        eventually(lambda: _ask(connection, "/new").status == 200)


def test_a_new_listener_takes_over(stack: Stack) -> None:
    """What stands in the listener itself changes too; requests meanwhile are all answered."""
    tiers = {
        name: replace(tier, max_upload_bytes=1_000) for name, tier in stack.policy.tiers.items()
    }
    stack.reload(replace(stack.policy, tiers=tiers, body_overhead_bytes=0))
    too_large = b"GET /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n"
    with_body = too_large + b"x" * 1_001
    seen = []

    def refused() -> bool:
        seen.append(stack.envoy.public.raw(with_body).status)
        return seen[-1] == 413

    eventually(refused)
    assert set(seen) <= {200, 413}


def test_a_moved_application_is_found(stack: Stack) -> None:
    """The upstream's address is followed like the routes."""
    other = StubUpstream()
    other.start()
    try:
        stack.reload(replace(stack.policy, upstream=policy_for(other).upstream))
        eventually(lambda: stack.envoy.public.send("GET", "/healthz").status == 200 and other.seen)
    finally:
        other.stop()


def test_a_bad_file_is_refused_and_told(stack: Stack) -> None:
    """The old routes serve on, and a counter and a log line say why."""
    files = render(stack.policy, stack.envoy.settings)
    files[ROUTES_FILE] = files[ROUTES_FILE].replace("safe_regex", "unsafe_regex")
    write(files, stack.envoy.settings.run_dir)
    eventually(lambda: "unsafe_regex" in stack.envoy.own_log)
    assert stack.metric("envoy_http_rds_update_rejected") >= 1
    assert stack.envoy.public.send("GET", "/healthz").status == 200


def test_the_version_is_the_policys(stack: Stack) -> None:
    """An operator can compare what Envoy serves with what was written."""
    before = stack.metric("envoy_http_rds_version")
    stack.reload(replace(stack.policy, digest="another", routes=(_NEW,)))
    eventually(lambda: stack.metric("envoy_http_rds_version") != before)
