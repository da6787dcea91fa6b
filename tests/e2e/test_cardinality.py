"""However many strangers come, Prometheus has no more to keep."""

import re
import sys
from collections.abc import Iterator

import pytest

from authz_service.core.decision import CANCELLED, Decision
from authz_service.core.verdict import Reason
from tests.e2e.counted import UPSCALE
from tests.e2e.stack import Stack, running
from tests.e2e.strangers import Strangers

FIRST, ALL = 1_000, 10_000
SERIES_LATER = 100
"""What has a finite vocabulary may still combine anew: a method, an endpoint and a status."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="calls from all over 127.0.0.0/8"),
]

Labels = frozenset[tuple[str, str]]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of its own, which has seen nothing."""
    with running(JWT_SECRET="x" * 32) as started:
        yield started


async def test_what_clients_choose_never_makes_a_series(stack: Stack) -> None:
    """Nine thousand more random requests bring no label value that a thousand did not bring."""
    key = stack.fresh_key()
    # The dice may leave it out at first: who comes so far that the limit of all callers is asked.
    assert stack.client.send("POST", UPSCALE, (("X-API-Key", key),), b"").status == 415
    strangers = Strangers(stack.client.port, key, seed=1)
    await strangers.send(FIRST)
    first = series(stack)

    statuses = await strangers.send(ALL - FIRST)

    assert statuses.total() == ALL - FIRST
    assert set(statuses) >= {"200", "400", "401", "404", "405", "415", "429"}
    later = series(stack)
    assert len(first) > 500
    assert values(later) - values(first) <= VOCABULARY
    assert len(later - first) < SERIES_LATER


VOCABULARY = {*Reason, *Decision, CANCELLED, *map(str, range(200, 600))}
"""What the dice, or a slow moment of the machine, may have left out at first."""


def series(stack: Stack) -> set[tuple[str, Labels]]:
    """Every series of every port."""
    clients = (
        stack.operations,
        stack.image_operations,
        stack.image_worker_operations,
        stack.scrape,
    )
    return {
        (name, frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)))
        for client in clients
        for name, labels in re.findall(
            r"^(\w+)(?:\{(.*)\})? \S+", client.get("/metrics").body.decode(), re.MULTILINE
        )
    }


def values(of_all: set[tuple[str, Labels]]) -> set[str]:
    """Every name of a series, and everything that a label says."""
    return {text for name, labels in of_all for text in (name, *(value for _, value in labels))}
