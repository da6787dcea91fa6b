"""Without an answer from the authorizer nothing passes: 503, and soon."""

from dataclasses import replace
from pathlib import Path

import pytest

from authz_service.envoyconf.render import render
from tests.integration.envoyconf.client import Client
from tests.integration.envoyconf.envoy_process import Envoy, eventually, local_settings, running
from tests.integration.envoyconf.stub_authz import StubAuthz
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for
from tests.integration.envoyconf.test_errors import assert_is_error

_JOB = "/api/v1/jobs/7"


@pytest.mark.parametrize("failure", ["raise", "late"])
def test_a_failing_check_is_503(
    public: Client, authz: StubAuthz, upstream: StubUpstream, request_id: str, failure: str
) -> None:
    """An exception or a late answer: never a pass, never a 403, and asked only once."""
    sent = [("x-api-key", failure), ("x-request-id", request_id)]
    answer = public.send("GET", _JOB, *sent)
    assert_is_error(answer, 503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert request_id not in upstream.seen
    assert len(authz.asked_for(request_id)) == 1


def test_the_authorizer_may_say_when_to_come_back(public: Client) -> None:
    """Its own `Retry-After` stands, once; the body is the one form."""
    answer = public.send("GET", _JOB, ("x-api-key", "fail"))
    assert_is_error(answer, 503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "7"


def test_a_dead_worker_is_not_noticed(folder: Path, upstream: StubUpstream) -> None:
    """Its checks go to the other one: a connection that fails has charged nothing."""
    sockets = (f"{folder}/one.sock", f"{folder}/two.sock")
    settings = replace(local_settings(folder), authz_sockets=sockets)
    first, second = workers = [StubAuthz(path) for path in sockets]
    for worker in workers:
        worker.start()
    try:
        with running(render(policy_for(upstream), settings), settings) as envoy:
            eventually(lambda: _status(envoy) == 200 and first.checks)
            first.stop()
            answers = [_status(envoy) for _ in range(40)]
    finally:
        second.stop()
    assert answers == [200] * 40


def _status(envoy: Envoy) -> int:
    return envoy.public.send("GET", _JOB, ("x-api-key", "free")).status


def test_an_absent_authorizer_is_503_until_it_comes(folder: Path, upstream: StubUpstream) -> None:
    """Open routes serve all the while, and a late starter is found within a second or two."""
    settings = local_settings(folder)
    with running(render(policy_for(upstream), settings), settings) as envoy:
        key = ("x-api-key", "free")
        assert_is_error(envoy.public.send("GET", _JOB, key), 503, "SERVICE_UNAVAILABLE")
        assert envoy.public.send("GET", "/healthz").status == 200
        authz = StubAuthz(settings.authz_sockets[0])
        authz.start()
        try:
            eventually(lambda: _status(envoy) == 200)
        finally:
            authz.stop()
        assert_is_error(envoy.public.send("GET", _JOB, key), 503, "SERVICE_UNAVAILABLE")
