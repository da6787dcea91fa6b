"""The counter store breaks in every way that stores break while clients go on: what they see.

Every fault strikes once, under steady traffic through Envoy on a route of each kind and one client
that asks for more than it may; the facts below are told of what was recorded.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from authz_service.core.rules import StoreFailure
from tests.conformance.storage.admissions import Admission, most_in_a_window
from tests.e2e.guarded import (
    HAMMERED_LIMIT,
    HAMMERED_WINDOW_S,
    WORKERS,
    Guarded,
    guarded,
    path_of,
    steady_key,
)
from tests.e2e.outage import Outage, is_settled, is_shared, suffer
from tests.e2e.processes import eventually
from tests.e2e.store_faults import FAULTS, BreakableStore
from tests.e2e.traffic import Sample, traffic

LOCAL, ALLOW, DENY = StoreFailure.LOCAL, StoreFailure.ALLOW, StoreFailure.DENY
# A probe a second, and a pause of at most half a second before a connection is tried again.
SHARED_AGAIN_WITHIN_S = 3.0
# The operators' figures are a second old at most.
TOLD_WITHIN_S = 4.0
CALL_S = 0.025
SLACK_S = 0.05

LOOKED_AT_S = 2.0
STEADY = {"X-API-Key": steady_key(LOCAL)}

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="finds the processes in /proc"
)


@pytest.fixture(scope="module")
def store() -> Iterator[BreakableStore]:
    """The store that is broken, and whole again after each fault."""
    with BreakableStore() as store:
        yield store


@pytest.fixture(scope="module")
def stack(store: BreakableStore) -> Iterator[Guarded]:
    """What clients see of it."""
    with guarded(store.url) as stack:
        yield stack


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name == "killed" else pytest.mark.slow) for name in FAULTS
    ],
)
def fault(request: pytest.FixtureRequest) -> str:
    """The name of a fault."""
    return str(request.param)


@pytest.fixture(scope="module")
def outage(fault: str, stack: Guarded, store: BreakableStore) -> Outage:
    """What was seen of it."""
    store.lead_straight()
    strike, end = FAULTS[fault].strike, FAULTS[fault].end
    seen = suffer(
        stack,
        strike=partial(strike, store),
        end=None if end is None else partial(end, store),
        hammered=list(FAULTS).index(fault),
    )
    told(fault, seen)
    return seen


def test_a_local_route_answers_throughout(outage: Outage) -> None:
    """Every request is a 200, counted by the store or, told in a header, by the process alone."""
    assert {sample.outcome for sample in outage.steady[LOCAL]} == {"200"}
    assert all(
        is_shared(sample, LOCAL) or sample.headers["x-ratelimit-scope"] == "local"
        for sample in outage.steady[LOCAL]
    )
    assert not any(is_shared(sample, LOCAL) for sample in outage.while_degraded(LOCAL))
    assert {sample.outcome for sample in outage.hammered} == {"200", "429"}


def test_a_deny_route_says_when_to_come_back(outage: Outage) -> None:
    """While the store is away all is refused with 503 and `Retry-After`, and nothing otherwise."""
    refused = [sample for sample in outage.steady[DENY] if sample.outcome != "200"]
    assert {sample.outcome for sample in refused} <= {"503"}
    assert all(int(sample.headers["retry-after"]) >= 1 for sample in refused)
    assert {sample.outcome for sample in outage.while_degraded(DENY)} <= {"503"}


def test_an_allow_route_lets_all_pass(outage: Outage) -> None:
    """Every request is a 200, and one that nobody counted tells no figures."""
    assert {sample.outcome for sample in outage.steady[ALLOW]} == {"200"}
    uncounted = outage.while_degraded(ALLOW)
    assert not any(name.startswith("x-ratelimit") for it in uncounted for name in it.headers)


def test_no_check_waits_for_a_store_that_is_away(outage: Outage) -> None:
    """A request hardly ever takes longer than before and a call to the store together."""
    checked = [sample.took_s for mode in StoreFailure for sample in outage.steady[mode]]
    before = [sample.took_s for mode in StoreFailure for sample in outage.before(mode)]
    # The machine has other things to do, and may stop everybody for a while.
    stalls_s = quantile([sample.took_s for sample in outage.unchecked], 0.99)
    allowed_s = CALL_S + 2 * (quantile(before, 0.99) + stalls_s) + SLACK_S
    assert quantile(checked, 0.99) < allowed_s


def test_an_open_breaker_costs_no_time(outage: Outage) -> None:
    """Once the service knows that its store is away, requests are as fast as before."""
    before = [sample.took_s for sample in outage.before(LOCAL) + outage.before(ALLOW)]
    degraded = [sample.took_s for sample in outage.while_degraded(LOCAL)]
    if not degraded:
        pytest.skip("over before the breaker opened")
    assert quantile(degraded, 0.9) < 2 * quantile(before, 0.9) + 0.005


def test_counting_is_shared_again_without_a_restart(outage: Outage) -> None:
    """Soon after the end of the fault every route is served by the store, and it is told so."""
    assert outage.shared_again_s < SHARED_AGAIN_WITHIN_S
    assert outage.restored_s - outage.ended_s < TOLD_WITHIN_S


def test_no_window_holds_more_than_the_limit_for_each_process(fault: str, outage: Outage) -> None:
    """Over the start, the length and the end of the outage; lost counts cost the limit once."""
    losses = 0 if FAULTS[fault].keeps_counts else 1
    assert most_admitted(outage.hammered) <= (WORKERS + losses) * HAMMERED_LIMIT
    before = [sample for sample in outage.hammered if sample.received_s < outage.struck_s]
    assert most_admitted(before) == HAMMERED_LIMIT


def test_counts_outlive_what_does_not_lose_them(fault: str, outage: Outage) -> None:
    """What the store itself admitted before and after keeps the limit, unless it starts empty."""
    if not FAULTS[fault].keeps_counts:
        pytest.skip("the store lost its counts")
    shared = [sample for sample in outage.hammered if is_shared(sample, LOCAL)]
    assert most_admitted(shared) == HAMMERED_LIMIT


@pytest.mark.slow
def test_a_store_that_is_slow_but_in_time_goes_on_counting(
    stack: Guarded, store: BreakableStore
) -> None:
    """Replies that take 15 of the 25 ms cost their time and nothing else."""
    with traffic(stack.client.port, path=path_of(LOCAL), headers=STEADY, threads=1) as flowing:
        store.delay(0.015)
        eventually(lambda: is_settled(flowing.samples, LOCAL))
        began = len(flowing.samples)
        time.sleep(LOOKED_AT_S)
        slow = flowing.samples[began:]
        assert stack.is_restored
        store.mend()
    told_of("15 ms late", slow)
    assert {sample.outcome for sample in slow} == {"200"}
    assert min(sample.took_s for sample in slow) > 0.015
    assert sum(is_shared(sample, LOCAL) for sample in slow) > 0.95 * len(slow)


@pytest.mark.slow
def test_clients_see_nothing_of_a_forgotten_script(stack: Guarded, store: BreakableStore) -> None:
    """SCRIPT FLUSH again and again: every request is counted by the store."""
    with traffic(stack.client.port, path=path_of(LOCAL), headers=STEADY) as flowing:
        eventually(lambda: is_settled(flowing.samples, LOCAL))
        began = len(flowing.samples)
        for _ in range(20):
            store.server.admin.script_flush()
            time.sleep(LOOKED_AT_S / 20)
    told_of("script flush", flowing.samples[began:])
    assert all(is_shared(sample, LOCAL) for sample in flowing.samples[began:])


def most_admitted(samples: Sequence[Sample]) -> int:
    """The most requests that certainly passed within one window of the limit."""
    admissions = [
        Admission(sample.sent_s, sample.received_s) for sample in samples if sample.outcome == "200"
    ]
    return most_in_a_window(admissions, HAMMERED_WINDOW_S)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[int(share * (len(values) - 1))]


def told(name: str, outage: Outage) -> None:
    """Show the figures of an outage to whoever runs this with `-s`."""
    before = [it.took_s for mode in StoreFailure for it in outage.before(mode)]
    during = [it.took_s for mode in StoreFailure for it in outage.during(mode)] or [0.0]
    degraded = [it.took_s for mode in StoreFailure for it in outage.while_degraded(mode)] or [0.0]
    outcomes = {
        mode.value: dict(Counter(it.outcome for it in outage.during(mode))) for mode in StoreFailure
    }
    opened_s = (outage.degraded_s or outage.struck_s) - outage.struck_s
    sys.stdout.write(
        f"\n{name}: {outcomes}; degraded after {opened_s:.2f} s,"
        f" shared again after {outage.shared_again_s:.2f} s,"
        f" told after {outage.restored_s - outage.ended_s:.2f} s;"
        f" ms before p50 {ms(before, 0.5)} p99 {ms(before, 0.99)},"
        f" during p99 {ms(during, 0.99)} longest {ms(during, 1)},"
        f" degraded p50 {ms(degraded, 0.5)} p99 {ms(degraded, 0.99)};"
        f" hammered: at most {most_admitted(outage.hammered)} in a window of {HAMMERED_LIMIT}\n"
    )


def ms(seconds: Sequence[float], share: float) -> str:
    """A quantile in milliseconds."""
    return f"{1000 * quantile(seconds, share):.1f}"


def told_of(name: str, samples: Sequence[Sample]) -> None:
    """Show how long requests took."""
    took_s = [sample.took_s for sample in samples]
    shared = sum(is_shared(sample, LOCAL) for sample in samples)
    sys.stdout.write(
        f"\n{name}: {shared} of {len(samples)} shared; ms p50 {ms(took_s, 0.5)}"
        f" p99 {ms(took_s, 0.99)} longest {ms(took_s, 1)}\n"
    )
