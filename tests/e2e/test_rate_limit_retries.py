"""A team's own Envoy sends questions again that a dying worker did not answer."""

import os
import signal
from collections import Counter

import pytest

from authz_service.settings import GrpcServer
from tests.e2e.foreign import LIMITS, WORKERS, Foreign, both_serve, foreign
from tests.e2e.processes import eventually, workers
from tests.e2e.traffic import Traffic, traffic

LIMIT = 3_000
KILLS = 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", GrpcServer)
def test_a_question_whose_worker_dies_is_answered_and_counted_once(kind: GrpcServer) -> None:
    """Workers are killed under traffic: each request has an answer, and the limit is exact."""
    with foreign(AUTHZ_GRPC_SERVER=kind.value) as shop:
        wider = LIMITS.replace("requests_per_unit: 10}", f"requests_per_unit: {LIMIT}}}")
        shop.mount(wider.replace("requests_per_unit: 5}", "requests_per_unit: 500}"))
        eventually(lambda: shop.limit_of("probe") == {"500"})
        with traffic(shop.port, path="/", headers={"x-user": "crowd"}) as load:
            for number in range(KILLS):
                _kill(shop, number % WORKERS, load)
            eventually(lambda: load.outcomes["429"])
    assert load.outcomes == Counter({"200": LIMIT, "429": load.outcomes["429"]})


def _kill(shop: Foreign, number: int, load: Traffic) -> None:
    """Kill a worker amid traffic, and return when another serves in its place."""
    seen = load.outcomes["200"]
    eventually(lambda: load.outcomes["200"] > seen + 100)
    killed = workers(shop.supervisor)[number]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: workers(shop.supervisor).get(number) not in {None, killed})
    eventually(lambda: both_serve(shop))
