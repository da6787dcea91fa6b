"""A worker dies in the middle of a check: the client is answered, and charged once."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from authz_service.settings import GrpcServer
from tests.integration.envoyconf.client import Answer
from tests.integration.retries.conftest import Stack

AT_ONCE = 24
LONGEST_WAIT_S = 2.5  # Envoy gives a check 1.5 s here, and a busy machine the rest


def told(answers: list[Answer]) -> list[str]:
    """Return what those answers say is left that were counted for all workers together.

    A worker that a busy machine kept waiting for the store counted by itself, and says so.
    """
    shared = [it.headers for it in answers if "x-ratelimit-scope" not in it.headers]
    return [headers["x-ratelimit-remaining"] for headers in shared]


def test_a_worker_killed_between_charge_and_answer_costs_nobody_anything(stack: Stack) -> None:
    """The other worker is asked, finds the charge taken, and gives the answer that was lost."""
    before = stack.charged()
    asked = list(stack.relay.charges)
    stack.relay.ambush()
    assert stack.ask().status == 200
    assert stack.charged() == before + 1
    assert [now - then for now, then in zip(stack.relay.charges, asked, strict=True)] == [1, 1]
    [killed] = stack.relay.killed
    assert stack.workers[killed].wait(10) == -signal.SIGKILL
    assert stack.ask().status == 200


def test_every_check_of_a_killed_worker_is_charged_once(stack: Stack) -> None:
    """However far each of them had come: all are answered, and no two as the same request."""
    before = stack.charged()
    stack.relay.ambush()
    with ThreadPoolExecutor(AT_ONCE) as clients:
        answers = list(clients.map(lambda _: stack.ask(), range(AT_ONCE)))
    assert stack.relay.killed
    assert [answer.status for answer in answers] == [200] * AT_ONCE
    left = told(answers)
    assert len(set(left)) == len(left)
    assert len(left) <= stack.charged() - before <= AT_ONCE


@pytest.mark.parametrize("kind", [GrpcServer.NATIVE])  # neither server gets to answer
def test_retries_do_not_add_to_the_time_of_a_check(stack: Stack) -> None:
    """With both workers hanging, the client hears 503 when the time of one check is over."""
    for worker in stack.workers:
        worker.send_signal(signal.SIGSTOP)
    began = time.perf_counter()
    assert stack.ask().status == 503
    assert time.perf_counter() - began < LONGEST_WAIT_S
