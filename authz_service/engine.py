"""Orchestrate: the stages of one check, in order. The only module that awaits and knows it.

credential → identify → authorize → meter → respond; every way out of here is an explicit verdict.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from authz_service.clock import Clock, stopwatch
from authz_service.core.authorize import authorize
from authz_service.core.charges import charges_of, single
from authz_service.core.credential import present
from authz_service.core.facts import Facts
from authz_service.core.identify import Credentials, anonymous, client_network, identify
from authz_service.core.identity import Identity
from authz_service.core.match import RouteMatcher
from authz_service.core.meter import Metered
from authz_service.core.respond import Abandoned, Answer, abandoned, respond
from authz_service.core.rules import Charge, Policy, Rate, Route
from authz_service.core.verdict import (
    BAD_CREDENTIALS,
    UNAVAILABLE_REASONS,
    Allow,
    Decided,
    Deny,
    Forbid,
    OverLimit,
    Reason,
    Shadow,
    Throttle,
    Unavailable,
    Verdict,
)
from authz_service.errors import StoreError


class Counter(Protocol):
    """Counts charges, and knows what to do when the store behind it fails."""

    async def charge(
        self,
        subject: str,
        charges: tuple[Charge, ...],
        *,
        once: str | None,
    ) -> Metered:
        """Take every charge or none; under one `once`, take them once.

        Raises:
            StoreError: the store failed and one of the charges is to be denied then.
        """


class Guesses(Protocol):
    """Counts the bad credentials of an address."""

    def note(self, address: str, rate: Rate) -> int:
        """Count one; how many milliseconds the address has to wait, 0 within `rate`."""


Staged = Callable[[float, float, float], None]
"""Told how many seconds an answered check took to identify, to meter and to respond."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a check is decided by, from its first stage to its last."""

    policy: Policy
    matcher: RouteMatcher
    credentials: Credentials


class Engine:
    """Answers checks under one policy at a time."""

    def __init__(
        self,
        *,
        policy: Policy,
        credentials: Credentials,
        counter: Counter,
        guesses: Guesses,
        clock: Clock,
        new_id: Callable[[], str],
        staged: Staged = lambda _identify_s, _meter_s, _respond_s: None,
    ) -> None:
        self._rules = _Rules(policy, RouteMatcher(policy), credentials)
        self._counter = counter
        self._guesses = guesses
        self._clock = clock
        self._new_id = new_id
        self._staged = staged

    def use(self, policy: Policy, credentials: Credentials) -> None:
        """Decide by these from the next check on. A check under way ends as it began."""
        self._rules = _Rules(policy, RouteMatcher(policy), credentials)

    async def check(self, facts: Facts) -> Answer:
        """The answer to one request."""
        rules = self._rules
        began = stopwatch()
        route = rules.matcher.find(facts)
        if route is None:
            return self._respond(Deny(Reason.NO_ROUTE), facts, rules)
        identity = self._identify(facts, route, rules)
        identified = stopwatch()
        decided = await self._judge(identity, facts, route, rules)
        metered = stopwatch()
        verdict = _in_shadow(decided, route, identity, facts) if route.shadow else decided
        answer = self._respond(verdict, facts, rules)
        self._staged(identified - began, metered - identified, stopwatch() - metered)
        return answer

    def failed(self, facts: Facts) -> Answer:
        """The answer when deciding itself went wrong: never an allow where rules are enforced."""
        rules = self._rules
        route = rules.matcher.find(facts)
        verdict: Verdict = Unavailable(Reason.INTERNAL_ERROR)
        if route is not None and route.shadow:
            verdict = Shadow(Unavailable(Reason.INTERNAL_ERROR, route), route, anonymous(facts))
        return self._respond(verdict, facts, rules)

    def abandoned(self, facts: Facts) -> Abandoned:
        """Who asked for what, where nobody waits for the answer any more. Decides nothing."""
        rules = self._rules
        route = rules.matcher.find(facts)
        identity = None if route is None else self._identify(facts, route, rules)
        known = identity if isinstance(identity, Identity) else None
        return abandoned(route, known, decision_id=self._new_id())

    def _respond(self, verdict: Verdict, facts: Facts, rules: _Rules) -> Answer:
        return respond(
            verdict,
            tiers=rules.policy.tiers,
            accepts_tokens=rules.credentials.accepts_tokens,
            request_id=facts.request_id,
            decision_id=self._new_id(),
        )

    def _identify(self, facts: Facts, route: Route, rules: _Rules) -> Identity | Reason:
        identity = identify(
            present(facts),
            facts=facts,
            route=route,
            credentials=rules.credentials,
            now_ms=self._clock.now_ms(),
        )
        if isinstance(identity, Identity) and identity.tier not in rules.policy.tiers:
            return Reason.UNKNOWN_TIER
        return identity

    async def _judge(
        self, identity: Identity | Reason, facts: Facts, route: Route, rules: _Rules
    ) -> Decided:
        if isinstance(identity, Reason):
            return self._unidentified(identity, facts, route, rules.policy)
        charges = charges_of(identity, route, rules.policy)
        once = facts.stream_id or None
        refusal = authorize(identity, route, client_address=facts.client_address)
        if refusal is None:
            return await self._meter(route, identity, charges, once=once)
        if refusal.reason is Reason.MISSING_CREDENTIAL:
            return Deny(refusal.reason, route)
        metered = await self._meter(route, identity, single(charges), once=once)
        if not isinstance(metered, Allow):
            return metered
        return Forbid(refusal.reason, route, identity, metered.metered, refusal.needs)

    def _unidentified(
        self, reason: Reason, facts: Facts, route: Route, policy: Policy
    ) -> Deny | Throttle | Unavailable:
        if reason in UNAVAILABLE_REASONS:
            return Unavailable(reason, route)
        if reason in BAD_CREDENTIALS:
            address = client_network(facts.client_address) or ""
            wait_ms = self._guesses.note(address, policy.bad_credentials)
            if wait_ms:
                return Throttle(route, wait_ms)
        return Deny(reason, route)

    async def _meter(
        self, route: Route, identity: Identity, charges: tuple[Charge, ...], *, once: str | None
    ) -> Allow | OverLimit | Unavailable:
        if not charges:
            return Allow(route, identity, None)
        try:
            metered = await self._counter.charge(identity.subject, charges, once=once)
        except StoreError:
            return Unavailable(Reason.STORE_UNAVAILABLE, route, identity)
        if not metered.admitted:
            return OverLimit(route, identity, metered)
        return Allow(route, identity, metered)


def _in_shadow(decided: Decided, route: Route, identity: Identity | Reason, facts: Facts) -> Shadow:
    known = identity if isinstance(identity, Identity) else anonymous(facts)
    return Shadow(decided, route, known)
