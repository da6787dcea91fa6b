"""Orchestrate: the stages of one check, in order. The only module that awaits and knows it.

credential → identify → meter → respond; every way out of here is an explicit verdict.
"""

from collections.abc import Callable
from typing import Protocol

from authz_service.clock import Clock
from authz_service.core.credential import present
from authz_service.core.facts import Facts
from authz_service.core.identify import FindKey, identify
from authz_service.core.identity import Identity
from authz_service.core.match import RouteMatcher
from authz_service.core.meter import Metered
from authz_service.core.respond import Answer, respond
from authz_service.core.rules import Charge, Policy, Route, StoreFailure
from authz_service.core.verdict import Allow, Deny, OverLimit, Reason, Unavailable, Verdict
from authz_service.errors import StoreError


class Counter(Protocol):
    """Counts charges, and knows what to do when the store behind it fails."""

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], on_failure: StoreFailure
    ) -> Metered:
        """Take every charge or none.

        Raises:
            StoreError: the store failed and `on_failure` is DENY.
        """


class Engine:
    """Answers checks under one policy."""

    def __init__(
        self,
        *,
        policy: Policy,
        find_key: FindKey,
        counter: Counter,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._tiers = policy.tiers
        self._matcher = RouteMatcher(policy)
        self._find_key = find_key
        self._counter = counter
        self._clock = clock
        self._new_id = new_id

    async def check(self, facts: Facts) -> Answer:
        """The answer to one request."""
        return self._respond(await self._decide(facts), facts)

    def failed(self, facts: Facts) -> Answer:
        """The answer when deciding itself went wrong: never an allow."""
        return self._respond(Unavailable(Reason.INTERNAL_ERROR), facts)

    def _respond(self, verdict: Verdict, facts: Facts) -> Answer:
        return respond(
            verdict, tiers=self._tiers, request_id=facts.request_id, decision_id=self._new_id()
        )

    async def _decide(self, facts: Facts) -> Verdict:
        route = self._matcher.find(facts)
        if route is None:
            return Deny(Reason.NO_ROUTE)
        identity = self._identify(facts, route)
        if isinstance(identity, Reason):
            return Deny(identity, route)
        return await self._meter(route, identity)

    def _identify(self, facts: Facts, route: Route) -> Identity | Reason:
        identity = identify(
            present(facts),
            facts=facts,
            route=route,
            find_key=self._find_key,
            now_ms=self._clock.now_ms(),
        )
        if isinstance(identity, Identity) and identity.tier not in self._tiers:
            return Reason.UNKNOWN_TIER
        return identity

    async def _meter(self, route: Route, identity: Identity) -> Verdict:
        charges = route.charges[identity.tier]
        if not charges:
            return Allow(route, identity, None)
        try:
            metered = await self._counter.charge(identity.subject, charges, route.on_store_failure)
        except StoreError:
            return Unavailable(Reason.STORE_UNAVAILABLE, route, identity)
        if not metered.admitted:
            return OverLimit(route, identity, metered)
        return Allow(route, identity, metered)
