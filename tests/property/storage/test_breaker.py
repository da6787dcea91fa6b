"""The circuit breaker under any course of calls."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz_service.storage.breaker import INCIDENTS_TO_OPEN, PROBE_INTERVAL_MS, Breaker
from authz_service.storage.recent import SLICE_MS, WINDOW_MS, RecentCalls

SLICES = WINDOW_MS // SLICE_MS
# Calls are asked, overlap, and end well or badly in any order; some, one after the other, end as
# soon as they were asked. Time passes in small and big steps.
EVENT = st.one_of(
    st.tuples(st.just("ask"), st.just(0)),
    st.tuples(st.sampled_from(["succeed", "fail"]), st.integers(0, 20)),
    st.tuples(st.sampled_from(["ask and succeed", "ask and fail"]), st.integers(1, 4)),
    st.tuples(st.just("wait"), st.integers(0, 2 * SLICE_MS)),
    st.tuples(st.just("wait"), st.sampled_from([PROBE_INTERVAL_MS - 1, PROBE_INTERVAL_MS])),
)


@dataclass
class Model:
    """The rules of the breaker, said over everything that ever happened."""

    now_ms: int = 0
    history: list[tuple[str, int]] = field(default_factory=list)  # since it last closed
    known: int = 0  # incidents, ever
    last_let_through_ms: int | None = None  # None while it is closed
    opened_by: int = 0

    def may_ask(self) -> bool:
        """One call a second while open."""
        since = self.last_let_through_ms
        return since is None or self.now_ms - since >= PROBE_INTERVAL_MS

    def asked(self) -> None:
        """A call was made."""
        if self.last_let_through_ms is not None:
            self.last_let_through_ms = self.now_ms

    def succeeded(self, known_when_asked: int) -> None:
        """The first success of a call asked while it was open closes it."""
        if self.last_let_through_ms is None:
            self.history.append(("success", self.now_ms))
        elif known_when_asked >= self.opened_by:
            self.history, self.last_let_through_ms = [], None

    def failed(self, known_when_asked: int) -> None:
        """A failure is an incident unless one was learnt of since the call was asked."""
        is_incident = known_when_asked == self.known
        self.known += is_incident
        if self.last_let_through_ms is None:
            self.history.append(("incident" if is_incident else "failure", self.now_ms))
            if self.five_in_a_row() or self.half_of_a_second():
                self.last_let_through_ms, self.opened_by = self.now_ms, self.known

    def five_in_a_row(self) -> bool:
        """Incidents since the last success."""
        kinds = [kind for kind, _ in self.history]
        since = kinds[::-1].index("success") if "success" in kinds else len(kinds)
        return kinds[len(kinds) - since :].count("incident") >= INCIDENTS_TO_OPEN

    def half_of_a_second(self) -> bool:
        """Of the calls of this tenth of a second and the nine before it."""
        tenth = self.now_ms // SLICE_MS
        recent = [kind for kind, at_ms in self.history if at_ms // SLICE_MS > tenth - SLICES]
        successes = recent.count("success")
        return recent.count("incident") >= INCIDENTS_TO_OPEN and successes <= len(recent) / 2


class Course:
    """A breaker and its model, taken through the same events; they agree at every one."""

    def __init__(self) -> None:
        self._breaker = Breaker()
        self._model = Model()
        self._in_flight: list[tuple[int, int]] = []

    def go(self, event: str, number: int) -> None:
        """Let something happen."""
        if event == "wait":
            self._model.now_ms += number
        elif event == "ask":
            self._ask()
        elif event.startswith("ask and "):
            for _ in range(number):
                self._ask()
                self._end(event.removeprefix("ask and "), -1)
        else:
            self._end(event, number)

    def _ask(self) -> None:
        ticket = self._breaker.ask(self._model.now_ms)
        assert (ticket is not None) is self._model.may_ask()
        if ticket is not None:
            self._model.asked()
            self._in_flight.append((ticket, self._model.known))

    def _end(self, outcome: str, which: int) -> None:
        if not self._in_flight:
            return
        ticket, known = self._in_flight.pop(which % len(self._in_flight))
        if outcome == "succeed":
            self._breaker.succeeded(ticket, self._model.now_ms)
            self._model.succeeded(known)
        else:
            self._breaker.failed(ticket, self._model.now_ms)
            self._model.failed(known)
        assert self._breaker.is_open is (self._model.last_let_through_ms is not None)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENT, max_size=60))
def test_the_breaker_opens_probes_and_closes_as_stated(events: list[tuple[str, int]]) -> None:
    """Five incidents in a row or half of a second's calls open it; a probe that works closes it."""
    course = Course()
    for event, number in events:
        course.go(event, number)


@given(
    waves=st.integers(1, INCIDENTS_TO_OPEN),
    in_flight=st.integers(1, 100),
    successes=st.integers(0, 1),
)
def test_calls_that_fail_together_are_one_incident(
    waves: int, in_flight: int, successes: int
) -> None:
    """However many calls each of four waves fails, the breaker stays closed; the fifth opens it."""
    breaker = Breaker()
    for wave in range(1, waves + 1):
        for _ in range(successes):
            breaker.succeeded(_ask(breaker), 0)
        for ticket in [_ask(breaker) for _ in range(in_flight)]:
            breaker.failed(ticket, 0)
        assert breaker.is_open is (wave == INCIDENTS_TO_OPEN)


@given(successes=st.integers(6, 50), rounds=st.integers(1, 20))
def test_fewer_failures_than_successes_never_open_it(successes: int, rounds: int) -> None:
    """Five incidents a round, each after a success, and more successes than that."""
    breaker = Breaker()
    for _ in range(rounds):
        for _ in range(successes):
            breaker.succeeded(_ask(breaker), 0)
        for _ in range(INCIDENTS_TO_OPEN):
            breaker.succeeded(_ask(breaker), 0)
            breaker.failed(_ask(breaker), 0)
    assert not breaker.is_open


@pytest.mark.parametrize("first_ms", [0, SLICE_MS - 1])
def test_the_second_looked_back_on_ends_with_the_tenth_it_began_in(first_ms: int) -> None:
    """Calls of one tenth are forgotten together, 0.9 to 1 second after they ended."""
    recent = RecentCalls()
    recent.failed(first_ms, new_incident=True)
    assert recent.half_failed(WINDOW_MS - 1, least_incidents=1)
    assert not recent.half_failed(WINDOW_MS, least_incidents=1)


@given(steps=st.lists(st.integers(0, 3 * SLICE_MS), max_size=300))
def test_looking_back_takes_bounded_memory(steps: list[int]) -> None:
    """However long it runs, there are at most ten slices."""
    recent, now = RecentCalls(), 0
    for step in steps:
        now += step
        recent.succeeded(now)
    assert len(recent._slices) <= SLICES


def _ask(breaker: Breaker) -> int:
    ticket = breaker.ask(0)
    assert ticket is not None
    return ticket
