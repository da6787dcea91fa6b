"""What the engine makes of the reasons it is given."""

import pytest

from authz_service.core.identity import Identity
from authz_service.core.verdict import UNAVAILABLE_REASONS, Deny, Reason, Unavailable
from authz_service.engine import Engine
from authz_service.observe.metrics import Metrics
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.testing.builders import facts, policy, route, tier
from authz_service.testing.clock import ManualClock
from authz_service.testing.credentials import FixedCredentials

TOKEN = (b"Bearer a.b.c",)


def engine(token: Identity | Reason) -> Engine:
    """An engine with one answer for every token."""
    clock = ManualClock()
    store = MemoryStore(clock)
    return Engine(
        policy=policy([route()], tiers=[tier()]),
        credentials=FixedCredentials(token=token),
        counter=FailoverStore(store, local=MemoryStore(clock), clock=clock, metrics=Metrics()),
        clock=clock,
        new_id=lambda: "decision-1",
    )


@pytest.mark.parametrize("reason", sorted(UNAVAILABLE_REASONS))
async def test_what_we_cannot_say_is_no_refusal(reason: Reason) -> None:
    """While keys are missing a caller is asked to come again, not told to throw a token away."""
    verdict = await engine(reason).decide(facts(authorizations=TOKEN))
    assert verdict == Unavailable(reason, route())


@pytest.mark.parametrize("reason", [Reason.BAD_SIGNATURE, Reason.UNKNOWN_SIGNING_KEY])
async def test_what_is_wrong_with_a_token_is_a_refusal(reason: Reason) -> None:
    """It stays wrong however often it is sent."""
    verdict = await engine(reason).decide(facts(authorizations=TOKEN))
    assert verdict == Deny(reason, route())
