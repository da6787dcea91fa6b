"""Orchestrate: the stages of one check, in order. The only module that awaits and knows it.

credential → identify → meter → respond; every way out of here is an explicit verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from authz_service.clock import Clock
from authz_service.core.credential import present
from authz_service.core.facts import Facts
from authz_service.core.identify import Credentials, identify
from authz_service.core.identity import Identity
from authz_service.core.match import RouteMatcher
from authz_service.core.meter import Metered
from authz_service.core.respond import Answer, respond
from authz_service.core.rules import Charge, Policy, Route, StoreFailure, Tier
from authz_service.core.verdict import Allow, Deny, OverLimit, Reason, Unavailable, Verdict
from authz_service.errors import StoreError


class Counter(Protocol):
    """Counts charges, and knows what to do when the store behind it fails."""

    async def charge(
        self,
        subject: str,
        charges: tuple[Charge, ...],
        on_failure: StoreFailure,
        *,
        once: str | None,
    ) -> Metered:
        """Take every charge or none; under one `once`, take them once.

        Raises:
            StoreError: the store failed and `on_failure` is DENY.
        """


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a check is decided by, from its first stage to its last."""

    tiers: Mapping[str, Tier]
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
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._rules = _Rules(policy.tiers, RouteMatcher(policy), credentials)
        self._counter = counter
        self._clock = clock
        self._new_id = new_id

    def use(self, policy: Policy, credentials: Credentials) -> None:
        """Decide by these from the next check on. A check under way ends as it began."""
        self._rules = _Rules(policy.tiers, RouteMatcher(policy), credentials)

    async def check(self, facts: Facts) -> Answer:
        """The answer to one request."""
        rules = self._rules
        verdict = await self._decide(facts, rules)
        return self._respond(verdict, facts, rules)

    async def decide(self, facts: Facts) -> Verdict:
        """What is decided about one request, before it is put into words."""
        return await self._decide(facts, self._rules)

    def failed(self, facts: Facts) -> Answer:
        """The answer when deciding itself went wrong: never an allow."""
        return self._respond(Unavailable(Reason.INTERNAL_ERROR), facts, self._rules)

    def _respond(self, verdict: Verdict, facts: Facts, rules: _Rules) -> Answer:
        return respond(
            verdict, tiers=rules.tiers, request_id=facts.request_id, decision_id=self._new_id()
        )

    async def _decide(self, facts: Facts, rules: _Rules) -> Verdict:
        route = rules.matcher.find(facts)
        if route is None:
            return Deny(Reason.NO_ROUTE)
        identity = self._identify(facts, route, rules)
        if identity is Reason.KEY_STORE_UNAVAILABLE:
            return Unavailable(identity, route)
        if isinstance(identity, Reason):
            return Deny(identity, route)
        return await self._meter(route, identity, once=facts.stream_id or None)

    def _identify(self, facts: Facts, route: Route, rules: _Rules) -> Identity | Reason:
        identity = identify(
            present(facts),
            facts=facts,
            route=route,
            credentials=rules.credentials,
            now_ms=self._clock.now_ms(),
        )
        if isinstance(identity, Identity) and identity.tier not in rules.tiers:
            return Reason.UNKNOWN_TIER
        return identity

    async def _meter(self, route: Route, identity: Identity, *, once: str | None) -> Verdict:
        charges = route.charges[identity.tier]
        if not charges:
            return Allow(route, identity, None)
        try:
            metered = await self._counter.charge(
                identity.subject, charges, route.on_store_failure, once=once
            )
        except StoreError:
            return Unavailable(Reason.STORE_UNAVAILABLE, route, identity)
        if not metered.admitted:
            return OverLimit(route, identity, metered)
        return Allow(route, identity, metered)
