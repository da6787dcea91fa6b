"""Which decisions become lines, and how many."""

from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from authz_service.core.respond import Abandoned, Outcome, Pass, Refuse
from authz_service.observe.decision_log import DecisionLog, Shares
from authz_service.observe.metrics import Metrics
from authz_service.testing.builders import facts
from authz_service.testing.clock import ManualClock

ALLOWED = Pass((), (), (), {"reason": "ok", "decision_id": "d-1"})
SHADOWED = Pass((), (), (), {"reason": "ok", "shadow_reason": "no_route", "decision_id": "d-1"})
ALLOWED_IN_SHADOW = Pass((), (), (), {"reason": "ok", "shadow_reason": "ok", "decision_id": "d-1"})
FORBIDDEN = Refuse(403, (), "", {"reason": "tier_not_allowed", "decision_id": "d-2"})
DENIED = Refuse(401, (), "", {"reason": "unknown_key", "decision_id": "d-1"})
GONE = Abandoned({"reason": "cancelled", "decision_id": "d-1"})


def decision_log(
    *, denials: float = 1, allows: float = 0, clock: ManualClock | None = None
) -> DecisionLog:
    """A log of these shares."""
    shares = Shares(denials=denials, allows=allows)
    return DecisionLog(shares, clock=clock or ManualClock())


def lines(log: DecisionLog, *outcomes: Outcome) -> list[Mapping[str, object]]:
    """What is logged of these decisions."""
    with capture_logs() as logged:
        for outcome in outcomes:
            log.decided(facts(), outcome, 0.001)
    return [*logged]


@pytest.mark.parametrize(
    ("outcome", "of_denials", "of_allows"),
    [
        (ALLOWED, 0, 1),
        (ALLOWED_IN_SHADOW, 0, 1),
        (SHADOWED, 1, 0),
        (DENIED, 1, 0),
        (GONE, 1, 0),
    ],
)
def test_what_would_have_been_refused_is_a_denial(
    outcome: Outcome, of_denials: int, of_allows: int
) -> None:
    """Refusals, those of routes in shadow, and what nobody waited for, go by the one share."""
    assert len(lines(decision_log(denials=1, allows=0), outcome)) == of_denials
    assert len(lines(decision_log(denials=0, allows=1), outcome)) == of_allows


def test_a_flood_is_cut_short_and_says_so() -> None:
    """100 lines a second of either kind; the next one is preceded by how many are missing."""
    clock = ManualClock()
    log = decision_log(allows=1, clock=clock)
    metrics = Metrics()
    metrics.register(log.collector)
    assert len(lines(log, *[DENIED] * 103)) == 100
    assert len(lines(log, ALLOWED)) == 1
    clock.advance(1_000)
    assert [
        (it["event"], it.get("kind"), it.get("lines")) for it in lines(log, ALLOWED, DENIED, DENIED)
    ] == [
        ("Decision", None, None),
        ("Decisions left out", "denials", 3),
        ("Decision", None, None),
        ("Decision", None, None),
    ]
    left_out = b'authz_decision_log_left_out_total{kind="denials"} 3.0'
    assert left_out in metrics.exposition().splitlines()


def test_a_flood_hides_no_other_reason() -> None:
    """Whoever fills the log with refused keys has not made room for anything else."""
    log = decision_log()
    flood = [DENIED] * 1_000
    assert len(lines(log, *flood)) == 100
    told = lines(log, *[FORBIDDEN] * 9, GONE, *flood)
    assert [it["reason"] for it in told if it["event"] == "Decision"] == [
        *["tier_not_allowed"] * 5,
        "cancelled",
    ]
