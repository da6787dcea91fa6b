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


def remaining(answer: Answer) -> int:
    """Return what an answer says is left, which every worker has to have counted together."""
    assert answer.status == 200, answer.body
    assert "x-ratelimit-scope" not in answer.headers
    return int(answer.headers["x-ratelimit-remaining"])


def test_a_worker_killed_between_charge_and_answer_costs_nobody_anything(stack: Stack) -> None:
    """The other worker is asked, finds the charge taken, and gives the answer that was lost."""
    before = remaining(stack.ask())
    asked = list(stack.relay.charges)
    stack.relay.ambush()
    answer = stack.ask()
    assert remaining(answer) == before - 1
    assert [now - then for now, then in zip(stack.relay.charges, asked, strict=True)] == [1, 1]
    [killed] = stack.relay.killed
    assert stack.workers[killed].wait(10) == -signal.SIGKILL
    assert remaining(stack.ask()) == before - 2


def test_every_check_of_a_killed_worker_is_charged_once(stack: Stack) -> None:
    """However far each of them had come: all are answered, and the count is theirs exactly."""
    before = remaining(stack.ask())
    stack.relay.ambush()
    with ThreadPoolExecutor(AT_ONCE) as clients:
        answers = list(clients.map(lambda _: stack.ask(), range(AT_ONCE)))
    assert stack.relay.killed
    left = sorted(map(remaining, answers), reverse=True)
    assert left == list(range(before - 1, before - 1 - AT_ONCE, -1))
    assert remaining(stack.ask()) == before - AT_ONCE - 1


@pytest.mark.parametrize("kind", [GrpcServer.NATIVE])  # neither server gets to answer
def test_retries_do_not_add_to_the_time_of_a_check(stack: Stack) -> None:
    """With both workers hanging, the client hears 503 when the time of one check is over."""
    for worker in stack.workers:
        worker.send_signal(signal.SIGSTOP)
    began = time.perf_counter()
    assert stack.ask().status == 503
    assert time.perf_counter() - began < LONGEST_WAIT_S
