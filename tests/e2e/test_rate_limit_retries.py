"""A team's own Envoy sends questions again that a dying worker did not answer.

On a busy machine the store now and then takes longer than a worker waits for it. Each answer that
is counted without it may admit one request too many, or count one twice.
"""

import os
import re
import signal
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import pytest

from authz_service.settings import GrpcServer
from tests.e2e.foreign import LIMITS, WORKERS, Foreign, both_serve, foreign
from tests.e2e.processes import eventually, workers
from tests.e2e.traffic import Traffic, traffic

LIMIT = 3_000
KILLS = 3
# A worker starts, and thousands of requests are sent, however busy the machine is.
_PATIENCE_S: Final = 40

T = TypeVar("T")


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", GrpcServer)
def test_a_question_whose_worker_dies_is_answered_and_counted_once(kind: GrpcServer) -> None:
    """Workers are killed under traffic: all is answered, and exact but for a late store."""
    with foreign(AUTHZ_GRPC_SERVER=kind.value) as shop:
        wider = LIMITS.replace("requests_per_unit: 10}", f"requests_per_unit: {LIMIT}}}")
        shop.mount(wider.replace("requests_per_unit: 5}", "requests_per_unit: 500}"))
        eventually(lambda: shop.limit_of("probe") == {"500"})
        without_store = 0
        with traffic(shop.port, path="/", headers={"x-user": "crowd"}) as load:
            for number in range(KILLS):
                without_store += _kill(shop, number % WORKERS, load)
            _patiently(lambda: load.outcomes["429"])
        without_store += _counted_without_store(shop)
    assert set(load.outcomes) == {"200", "429"}
    assert abs(load.outcomes["200"] - LIMIT) <= without_store


def _kill(shop: Foreign, number: int, load: Traffic) -> int:
    """Kill a worker amid traffic, and return when another serves in its place.

    The answers that were counted without the store are gone with it: the result is how many all
    workers had until then.
    """
    seen = load.outcomes["200"]
    _patiently(lambda: load.outcomes["200"] > seen + 100)
    killed = workers(shop.supervisor)[number]
    without_store = _counted_without_store(shop)
    os.kill(killed, signal.SIGKILL)
    _patiently(lambda: workers(shop.supervisor).get(number) not in {None, killed})
    _patiently(partial(both_serve, shop))
    return without_store


def _counted_without_store(shop: Foreign) -> int:
    text = shop.operations.get("/metrics").body.decode()
    counts = re.findall(r"^authz_fallback_decisions_total\{.*\} (\S+)$", text, re.MULTILINE)
    return round(sum(map(float, counts)))


def _patiently(attempt: Callable[[], T | None]) -> T:
    return eventually(attempt, within_s=_PATIENCE_S)
