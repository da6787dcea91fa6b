"""The circuit breaker under any course of events."""

from hypothesis import given
from hypothesis import strategies as st

from authz_service.storage.breaker import FAILURES_TO_OPEN, PROBE_INTERVAL_MS, Breaker

EVENTS = st.lists(
    st.one_of(
        st.just("succeeded"),
        st.just("failed"),
        st.just("asked"),
        st.integers(0, 2 * PROBE_INTERVAL_MS),
    ),
    max_size=200,
)


@given(EVENTS)
def test_the_breaker_opens_probes_and_closes_as_stated(events: list[str | int]) -> None:
    """Open exactly when five failures stand without a success, and then one probe a second."""
    breaker, now, failures = Breaker(), 0, 0
    held_back_since: int | None = None
    for event in events:
        if isinstance(event, int):
            now += event
        elif event == "succeeded":
            breaker.succeeded()
            failures, held_back_since = 0, None
        elif event == "failed":
            breaker.failed(now)
            failures += 1
            if failures == FAILURES_TO_OPEN:
                held_back_since = now
        else:
            expected = held_back_since is None or now - held_back_since >= PROBE_INTERVAL_MS
            assert breaker.lets_through(now) is expected
            if held_back_since is not None and expected:
                held_back_since = now
        assert breaker.is_open is (failures >= FAILURES_TO_OPEN)
