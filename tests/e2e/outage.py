"""One outage under steady traffic: everything that clients saw, and when."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Final

from authz_service.clock import stopwatch
from authz_service.core.rules import StoreFailure
from tests.e2e.guarded import HAMMERED_WINDOW_S, Guarded, hammered_key, path_of, steady_key
from tests.e2e.processes import eventually
from tests.e2e.traffic import Sample, Traffic, traffic

BEFORE_S: Final = 1.5
AWAY_S: Final = HAMMERED_WINDOW_S + 0.5
AFTER_S: Final = HAMMERED_WINDOW_S + 0.5
_STEADY_PAUSE_S: Final = 0.015
_HAMMER_PAUSE_S: Final = 0.008
_SETTLED: Final = 20  # answers in a row that tell that all is as it was


@dataclass(frozen=True, slots=True)
class Outage:
    """What was seen. Moments are of the stopwatch.

    The store was struck at some moment from `struck_s` on, and whole again at `ended_s`. From
    `degraded_s` to `restored_s` the service said that it does without; None if it was over before.
    """

    struck_s: float
    ended_s: float
    degraded_s: float | None
    restored_s: float
    steady: Mapping[StoreFailure, list[Sample]]
    hammered: list[Sample]

    @property
    def shared_again_s(self) -> float:
        """How long after the end of the fault the last answer came that is not the store's."""
        alone = [
            sample.received_s
            for mode, samples in self.steady.items()
            for sample in samples
            if not is_shared(sample, mode)
        ]
        return max([0.0, *(received_s - self.ended_s for received_s in alone)])

    def during(self, mode: StoreFailure) -> list[Sample]:
        """The requests of a steady client from the fault to its end."""
        return [it for it in self.steady[mode] if self.struck_s <= it.sent_s < self.ended_s]

    def while_degraded(self, mode: StoreFailure) -> list[Sample]:
        """Those of them that were sent when the service had said that it does without."""
        since_s = self.ended_s if self.degraded_s is None else self.degraded_s
        return [sample for sample in self.during(mode) if sample.sent_s >= since_s]

    def before(self, mode: StoreFailure) -> list[Sample]:
        """The requests of a steady client that were answered before the fault."""
        return [sample for sample in self.steady[mode] if sample.received_s < self.struck_s]


def is_shared(sample: Sample, mode: StoreFailure) -> bool:
    """Whether the shared store counted a request, as far as its answer tells."""
    if mode is StoreFailure.DENY:
        return sample.outcome == "200"
    return "x-ratelimit-remaining" in sample.headers and "x-ratelimit-scope" not in sample.headers


def is_settled(flow: Traffic, mode: StoreFailure) -> bool:
    """Whether the shared store counted all the latest requests."""
    latest = flow.samples[-_SETTLED:]
    return len(latest) == _SETTLED and all(is_shared(sample, mode) for sample in latest)


def suffer(
    stack: Guarded,
    *,
    strike: Callable[[], None],
    end: Callable[[], None] | None,
    hammered: int,
) -> Outage:
    """Strike the store, end it after a while, and watch until all is as it was for a window.

    Without an `end` the strike is over when it returns. `hammered` is the number of a fresh key.
    """
    with ExitStack() as flowing:
        steady = {mode: flowing.enter_context(_steady(stack, mode)) for mode in StoreFailure}
        hammer = flowing.enter_context(_hammer(stack, hammered))
        eventually(lambda: all(is_settled(steady[mode], mode) for mode in StoreFailure))
        time.sleep(BEFORE_S)
        struck_s = stopwatch()
        strike()
        degraded_s = None
        if end is not None:
            eventually(lambda: stack.is_degraded)
            degraded_s = stopwatch()
            time.sleep(max(0.0, struck_s + AWAY_S - stopwatch()))
            end()
        ended_s = stopwatch()
        eventually(lambda: all(is_settled(steady[mode], mode) for mode in StoreFailure))
        eventually(lambda: not stack.is_degraded)
        restored_s = stopwatch()
        time.sleep(max(0.0, ended_s + AFTER_S - stopwatch()))
    samples = {mode: flow.samples for mode, flow in steady.items()}
    return Outage(struck_s, ended_s, degraded_s, restored_s, samples, hammer.samples)


def _steady(stack: Guarded, mode: StoreFailure) -> AbstractContextManager[Traffic]:
    return traffic(
        stack.client.port,
        path=path_of(mode),
        headers={"X-API-Key": steady_key(mode)},
        threads=1,
        pause_s=_STEADY_PAUSE_S,
    )


def _hammer(stack: Guarded, number: int) -> AbstractContextManager[Traffic]:
    return traffic(
        stack.client.port,
        path=path_of(StoreFailure.LOCAL),
        headers={"X-API-Key": hammered_key(number)},
        threads=2,
        pause_s=_HAMMER_PAUSE_S,
    )
