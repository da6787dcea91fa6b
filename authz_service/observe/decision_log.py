"""The decision log: a line for each refusal, and for allows where somebody asks for them."""

from collections import Counter as Counts
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog
from prometheus_client import Counter
from prometheus_client.registry import Collector

from authz_service.clock import Clock
from authz_service.core.decision_line import decision_line, is_sampled
from authz_service.core.facts import Facts
from authz_service.core.respond import Outcome
from authz_service.core.verdict import Reason

_MOST_A_SECOND: Final = 100
_FIRST_OF_A_REASON: Final = 5
_MS_PER_SECOND: Final = 1_000

_log = structlog.get_logger(__name__)


class Kind(StrEnum):
    """What lines are about, as the label `kind` names it."""

    ALLOWS = "allows"
    DENIALS = "denials"  # whatever is no allow, or would be none if its route were not in shadow


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The parts of decisions that are written, each from 0 to 1."""

    denials: float
    allows: float


class DecisionLog:
    """Writes the decisions of one worker.

    No more than 100 lines a second of either kind: a flood of refusals must not keep the worker
    from refusing. Nor must it hide what else is refused: the first five of a reason are written
    after these too. What is left out is counted, and the next line of the kind is preceded by one
    with their number.
    """

    def __init__(self, shares: Shares, *, clock: Clock) -> None:
        self._denials = _Lines(Kind.DENIALS, shares.denials)
        self._allows = _Lines(Kind.ALLOWS, shares.allows)
        self._clock = clock
        self._left_out = Counter(
            "authz_decision_log_left_out_total",
            "Lines of the decision log that were not written because there were too many.",
            ("kind",),
            registry=None,
        )
        self._left_out_of = {kind: self._left_out.labels(kind.value) for kind in Kind}

    @property
    def collector(self) -> Collector:
        """The series to expose."""
        return self._left_out

    def decided(self, facts: Facts, outcome: Outcome, duration_s: float) -> None:
        """A check was answered after so many seconds, or given up."""
        told = outcome.metadata
        reason = told.get("shadow_reason", told["reason"])
        lines = self._allows if reason == Reason.OK else self._denials
        if not lines.share or not is_sampled(told["decision_id"], lines.share):
            return
        if not lines.has_room(reason, self._clock.monotonic_ms() // _MS_PER_SECOND):
            self._left_out_of[lines.kind].inc()
            return
        if left_out := lines.left_out_before():
            _log.warning("Decisions left out", kind=lines.kind.value, lines=left_out)
        _log.info(
            "Decision",
            **decision_line(facts, outcome, duration_s=duration_s, share=lines.share),
        )


class _Lines:
    """How many lines of one kind the running second has, and how many it should have had."""

    def __init__(self, kind: Kind, share: float) -> None:
        self.kind = kind
        self.share = share
        self._second: int | None = None
        self._written: Counts[str] = Counts()
        self._left_out = 0

    def has_room(self, reason: str, second: int) -> bool:
        """Whether one more may be written in this second; it counts as written, or as left out."""
        if second != self._second:
            self._second = second
            self._written.clear()
        if self._written[reason] >= _FIRST_OF_A_REASON and self._written.total() >= _MOST_A_SECOND:
            self._left_out += 1
            return False
        self._written[reason] += 1
        return True

    def left_out_before(self) -> int:
        """How many were left out since this was asked for the last time."""
        left_out, self._left_out = self._left_out, 0
        return left_out
