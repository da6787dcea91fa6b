"""The order of the stages: who is refused where, what is charged, what only watches."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from authz_service.clock import stopwatch
from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.facts import Facts
from authz_service.core.identify import Credentials
from authz_service.core.respond import Answer, Pass, Refuse
from authz_service.core.rules import (
    Authentication,
    Overrides,
    Period,
    Rate,
    Route,
    StoreFailure,
)
from authz_service.core.verdict import Reason
from authz_service.engine import Engine
from authz_service.observe.metrics import Metrics
from authz_service.storage.bad_credentials import BadCredentials
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import StandIn
from authz_service.testing.builders import facts, key_record, policy, quota, rate, route, tier
from authz_service.testing.clock import ManualClock
from authz_service.testing.credentials import FixedCredentials
from authz_service.testing.stores import Fault, FaultyStore

TIERS = [tier("free", rate=rate(10), quota=quota(500)), tier("anonymous", rate=rate(5))]
WITH_KEY = facts(api_keys=(b"sk-0123456789",))
BAD_ONES = Rate(name="bad-credentials", limit=2, window_ms=60_000)


@dataclass
class Bench:
    """An engine with everything around it in reach."""

    asked: Route
    credentials: Credentials
    clock: ManualClock = field(default_factory=ManualClock)
    fault: Fault | None = None
    stages: list[tuple[float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Wire the engine."""
        self.store = FaultyStore(MemoryStore(self.clock), fault=self.fault)
        self.engine = Engine(
            policy=policy([self.asked], tiers=TIERS, bad_credentials=BAD_ONES),
            credentials=self.credentials,
            counter=FailoverStore(
                self.store, stand_in=StandIn(self.clock), clock=self.clock, metrics=Metrics()
            ),
            guesses=BadCredentials(self.clock),
            clock=self.clock,
            new_id=lambda: "decision-1",
            staged=lambda *seconds: self.stages.append(seconds),
        )

    async def refused(self, asked: Facts) -> Refuse:
        """The answer to a request that does not pass."""
        answer = await self.engine.check(asked)
        assert isinstance(answer, Refuse), answer
        return answer

    async def passed(self, asked: Facts) -> Pass:
        """The answer to one that does."""
        answer = await self.engine.check(asked)
        assert isinstance(answer, Pass), answer
        return answer


def bench(
    asked: Route | None = None,
    *,
    key: ApiKeyRecord | Reason | None = None,
    token: Reason = Reason.UNKNOWN_ISSUER,
    fault: Fault | None = None,
) -> Bench:
    """An engine with one route, and one answer for every key."""
    record = key_record(tier="free") if key is None else key
    return Bench(
        asked or route(tiers=TIERS), FixedCredentials(key=record, token=token), fault=fault
    )


def told(answer: Answer) -> dict[str, str]:
    """The headers for the client."""
    headers = answer.headers if isinstance(answer, Refuse) else answer.response_headers
    return dict(headers)


async def test_who_may_not_is_charged_one_all_the_same() -> None:
    """A 403 takes one place whatever the route costs: trying is not free."""
    it = bench(route(cost=3, for_tiers=("pro",), tiers=TIERS))

    first, second = await it.refused(WITH_KEY), await it.refused(WITH_KEY)

    assert [first.status, second.status] == [403, 403]
    assert [told(answer)["x-ratelimit-remaining"] for answer in (first, second)] == ["9", "8"]


async def test_who_may_not_and_has_nothing_left_is_over_the_limit() -> None:
    """The eleventh forbidden request in a minute is a 429."""
    it = bench(route(for_tiers=("pro",), tiers=TIERS))

    statuses = [(await it.refused(WITH_KEY)).status for _ in range(11)]

    assert statuses == [403] * 10 + [429]


async def test_an_anonymous_caller_who_may_not_is_charged_nothing() -> None:
    """A 401 says nothing of limits."""
    it = bench(route(for_tiers=("free",), authentication=Authentication.OPTIONAL, tiers=TIERS))

    answer = await it.refused(facts())

    assert answer.status == 401
    assert it.store.calls == 0


async def test_guessing_is_refused_after_a_while() -> None:
    """Two bad keys from an address are 401, further ones 429; no store is asked."""
    it = bench(key=Reason.UNKNOWN_KEY)

    statuses = [(await it.refused(WITH_KEY)).status for _ in range(4)]
    it.clock.advance(60_000)

    assert statuses == [401, 401, 429, 429]
    assert (await it.refused(WITH_KEY)).status == 401
    assert it.store.calls == 0


async def test_an_address_of_guessers_may_still_send_a_good_credential() -> None:
    """What is limited is the bad ones."""
    it = bench(key=Reason.UNKNOWN_KEY)
    for _ in range(3):
        await it.refused(WITH_KEY)

    it.engine.use(
        policy([it.asked], tiers=TIERS, bad_credentials=BAD_ONES),
        FixedCredentials(key=key_record(tier="free")),
    )

    assert (await it.passed(WITH_KEY)).metadata["subject"] == "key:acme"


@pytest.mark.parametrize(
    "asked",
    [
        facts(authorizations=(b"Bearer a.b.c",)),
        facts(authorizations=(b"Basic YTpi",)),
        facts(query="api_key=1", api_keys=(b"sk-0123456789",)),
        facts(api_keys=(b"one-key-01", b"two-keys-2")),
        facts(api_keys=(b"",)),
    ],
)
async def test_every_kind_of_bad_credential_counts(asked: Facts) -> None:
    """Malformed, doubled, foreign, in the query, not believed."""
    it = bench()

    assert [(await it.refused(asked)).status for _ in range(3)] == [401, 401, 429]


@pytest.mark.parametrize("address", ["2001:db8::1", "2001:db8::ffff"])
async def test_guessers_are_grouped_as_callers_are(address: str) -> None:
    """One /64 is one guesser."""
    it = bench(key=Reason.UNKNOWN_KEY)
    for number in (2, 3):
        client = facts(api_keys=(b"sk-0123456789",), client_address=f"2001:db8::{number}")
        await it.refused(client)

    client = facts(api_keys=(b"sk-0123456789",), client_address=address)
    assert (await it.refused(client)).status == 429


@pytest.mark.parametrize("reason", [Reason.KEY_STORE_UNAVAILABLE, Reason.SIGNING_KEYS_UNAVAILABLE])
async def test_what_could_not_be_looked_up_is_no_guess(reason: Reason) -> None:
    """503 as often as it is asked: the caller has done nothing wrong."""
    it = bench(key=reason)

    answers = [await it.refused(WITH_KEY) for _ in range(5)]

    assert [answer.status for answer in answers] == [503] * 5
    assert answers[0].metadata["reason"] == reason.value


async def test_a_missing_credential_is_no_guess() -> None:
    """A client that forgets its key is told so every time."""
    it = bench()

    assert [(await it.refused(facts())).status for _ in range(5)] == [401] * 5


async def test_a_key_may_have_limits_of_its_own() -> None:
    """In place of the tier's, under the same counters."""
    own = Overrides(rate=rate(2), quota=(1000, Period.DAY))
    record = key_record(tier="free", overrides=own)
    it = bench(key=record)

    first = await it.passed(WITH_KEY)
    await it.passed(WITH_KEY)

    assert told(first)["ratelimit-policy"] == '"per-minute";q=2;w=60, "per-day";q=1000;w=86400'
    assert (await it.refused(WITH_KEY)).status == 429


SHADOW = route(shadow=True, for_tiers=(), tiers=TIERS)
CASES: list[tuple[Callable[[], Bench], Facts, str, str]] = [
    (lambda: bench(SHADOW), WITH_KEY, "ok", "key:acme"),
    (lambda: bench(SHADOW), facts(), "missing_credential", "anon:203.0.113.7"),
    (lambda: bench(SHADOW), facts(client_address=""), "missing_credential", "anon:unknown"),
    (
        lambda: bench(SHADOW, key=Reason.UNKNOWN_KEY),
        WITH_KEY,
        "unknown_key",
        "anon:203.0.113.7",
    ),
    (
        lambda: bench(route(shadow=True, for_tiers=("pro",), tiers=TIERS)),
        WITH_KEY,
        "tier_not_allowed",
        "key:acme",
    ),
    (
        lambda: bench(
            route(shadow=True, on_store_failure=StoreFailure.DENY, tiers=TIERS),
            fault=Fault.FAILING,
        ),
        WITH_KEY,
        "store_unavailable",
        "key:acme",
    ),
]


@pytest.mark.parametrize(("make", "asked", "would_be", "subject"), CASES)
async def test_a_route_in_shadow_lets_pass_what_it_would_refuse(
    make: Callable[[], Bench], asked: Facts, would_be: str, subject: str
) -> None:
    """The request passes as whoever it can be, and the metadata say what would have been."""
    answer = await make().passed(asked)

    assert answer.metadata["shadow_reason"] == would_be
    assert answer.metadata["reason"] == "ok"
    assert answer.metadata["subject"] == subject
    assert answer.response_headers == ()
    assert not {"x-api-key", "authorization"} & set(answer.upstream_removed)


async def test_a_route_in_shadow_counts_as_it_would() -> None:
    """The eleventh request is over the limit, and passes."""
    it = bench(SHADOW)

    reasons = [(await it.passed(WITH_KEY)).metadata["shadow_reason"] for _ in range(11)]

    assert reasons == ["ok"] * 10 + ["rate_limited"]


async def test_a_bug_denies_except_in_shadow() -> None:
    """What went wrong in deciding is a 503 where rules are enforced, and a pass where not."""
    enforced, watched = bench().engine.failed(WITH_KEY), bench(SHADOW).engine.failed(WITH_KEY)

    assert isinstance(enforced, Refuse)
    assert enforced.status == 503
    assert isinstance(watched, Pass)
    assert watched.metadata["shadow_reason"] == "internal_error"


async def test_no_route_is_refused_whatever_is_in_shadow() -> None:
    """A request that belongs to no route has nobody's word that it may pass."""
    assert (await bench(SHADOW).refused(facts(path="/elsewhere"))).status == 403


async def test_an_answered_check_tells_how_long_its_stages_took() -> None:
    """The wait for the store is in the second one; a path without a route has no stages."""
    asked = bench()
    asked.store.fault = Fault.SLOW
    began = stopwatch()
    check = asyncio.create_task(asked.passed(WITH_KEY))
    await asked.store.asked.wait()
    waits_from = stopwatch()
    asked.store.fault = None
    waited = stopwatch() - waits_from
    await check
    ((identify, meter, respond),) = asked.stages
    assert waited < meter < identify + meter + respond <= stopwatch() - began
    await asked.refused(facts(path="/nowhere"))
    assert len(asked.stages) == 1
