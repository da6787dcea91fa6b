"""One outage under steady traffic: everything that clients saw, and when."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Final

from authz_service.clock import stopwatch
from authz_service.core.rules import StoreFailure
from tests.e2e.guarded import (
    HAMMERED_WINDOW_S,
    OPEN_PATH,
    Guarded,
    hammered_key,
    path_of,
    steady_key,
)
from tests.e2e.processes import eventually
from tests.e2e.traffic import Sample, Traffic, traffic

BEFORE_S: Final = 1.5
AWAY_S: Final = HAMMERED_WINDOW_S + 0.5
AFTER_S: Final = HAMMERED_WINDOW_S + 0.5
_STEADY_PAUSE_S: Final = 0.015
_HAMMER_PAUSE_S: Final = 0.008
_CALL_S: Final = 0.1
_SETTLED: Final = 20  # answers in a row that tell that all is as it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What was seen. Moments are of the stopwatch.

    The store was struck at some moment from `struck_s` on, and whole again at `ended_s`. From
    `degraded_s` to `restored_s` the service said that it does without; None if it was over before.
    `unchecked` are requests of which the service is never asked: what the machine takes by itself.
    """

    struck_s: float
    ended_s: float
    degraded_s: float | None
    restored_s: float
    steady: Mapping[StoreFailure, list[Sample]]
    hammered: list[Sample]
    unchecked: list[Sample]

    @property
    def shared_again_s(self) -> float:
        """How long after the end of the fault all routes were served by the store again."""
        return max(self._shared_again_s(mode) for mode in StoreFailure)

    def _shared_again_s(self, mode: StoreFailure) -> float:
        after = [sample for sample in self.steady[mode] if sample.sent_s >= self.ended_s]
        for index, first in enumerate(after):
            if is_settled(after[index : index + _SETTLED], mode):
                return first.sent_s - self.ended_s
        raise AssertionError(f"{mode.value}: the store never served again")

    def during(self, mode: StoreFailure) -> list[Sample]:
        """The requests of a steady client from the fault to its end."""
        return [it for it in self.steady[mode] if self.struck_s <= it.sent_s < self.ended_s]

    def while_degraded(self, mode: StoreFailure) -> list[Sample]:
        """Those of them that were sent when the service had said that it does without.

        Not the last ones: a call that tries the store then may still be under way when it answers.
        """
        since_s = self.ended_s if self.degraded_s is None else self.degraded_s
        until_s = self.ended_s - _CALL_S
        return [sample for sample in self.during(mode) if since_s <= sample.sent_s < until_s]

    def before(self, mode: StoreFailure) -> list[Sample]:
        """The requests of a steady client that were answered before the fault."""
        return [sample for sample in self.steady[mode] if sample.received_s < self.struck_s]


def is_shared(sample: Sample, mode: StoreFailure) -> bool:
    """Whether the shared store counted a request, as far as its answer tells."""
    if mode is StoreFailure.DENY:
        return sample.outcome == "200"
    return "x-ratelimit-remaining" in sample.headers and "x-ratelimit-scope" not in sample.headers


def is_settled(samples: Sequence[Sample], mode: StoreFailure) -> bool:
    """Whether the shared store counted the latest requests, and many in a row."""
    latest = samples[-_SETTLED:]
    return len(latest) == _SETTLED and all(is_shared(sample, mode) for sample in latest)


def suffer(
    stack: Guarded,
    *,
    strike: Callable[[], None],
    end: Callable[[], object] | None,
    hammered: int,
    away_s: float = AWAY_S,
) -> Outage:
    """Strike the store, end it after a while, and watch until all is as it was for a window.

    Without an `end` the strike is over when it returns; with one, the service has noticed before
    and `away_s` have passed. `hammered` is the number of a fresh key.
    """
    with ExitStack() as flowing:
        steady = {mode: flowing.enter_context(_steady(stack, mode)) for mode in StoreFailure}
        hammer = flowing.enter_context(_hammer(stack, hammered))
        unchecked = flowing.enter_context(_unchecked(stack))
        eventually(lambda: all(is_settled(steady[mode].samples, mode) for mode in StoreFailure))
        time.sleep(BEFORE_S)
        struck_s = stopwatch()
        strike()
        degraded_s = None
        if end is not None:
            eventually(lambda: stack.is_degraded)
            degraded_s = stopwatch()
            time.sleep(max(0.0, struck_s + away_s - stopwatch()))
            end()
        ended_s = stopwatch()
        eventually(lambda: all(is_settled(steady[mode].samples, mode) for mode in StoreFailure))
        eventually(lambda: stack.is_restored)
        restored_s = stopwatch()
        time.sleep(max(0.0, ended_s + AFTER_S - stopwatch()))
    return Outage(
        struck_s=struck_s,
        ended_s=ended_s,
        degraded_s=degraded_s,
        restored_s=restored_s,
        steady={mode: flow.samples for mode, flow in steady.items()},
        hammered=hammer.samples,
        unchecked=unchecked.samples,
    )


def _steady(stack: Guarded, mode: StoreFailure) -> AbstractContextManager[Traffic]:
    return traffic(
        stack.client.port,
        path=path_of(mode),
        headers={"X-API-Key": steady_key(mode)},
        threads=1,
        pause_s=_STEADY_PAUSE_S,
    )


def _unchecked(stack: Guarded) -> AbstractContextManager[Traffic]:
    return traffic(
        stack.client.port, path=OPEN_PATH, headers={}, threads=1, pause_s=_STEADY_PAUSE_S
    )


def _hammer(stack: Guarded, number: int) -> AbstractContextManager[Traffic]:
    return traffic(
        stack.client.port,
        path=path_of(StoreFailure.LOCAL),
        headers={"X-API-Key": hammered_key(number)},
        threads=2,
        pause_s=_HAMMER_PAUSE_S,
    )
