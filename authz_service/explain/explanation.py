"""What would be answered to a request, and why: the server's own engine, looking only."""

from dataclasses import dataclass, replace

from authz_service.clock import Clock
from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.credential import ApiKey, BearerToken, Malformed, present
from authz_service.core.facts import Facts
from authz_service.core.identify import Credentials
from authz_service.core.limit_headers import longest_wait, seconds
from authz_service.core.meter import Reading
from authz_service.core.respond import Answer, Pass
from authz_service.core.rules import Policy, Route
from authz_service.core.verdict import Reason
from authz_service.engine import Engine
from authz_service.explain.envoy import MADE_UP_ID, NotAsked, arrive
from authz_service.explain.peek import NoGuesses, PeekingCounter
from authz_service.explain.reasons import SENTENCES
from authz_service.explain.request import ClientRequest
from authz_service.storage.base import CounterStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCredential:
    """Which credential came with the request: what it is called, never what it is."""

    kind: str
    key_id: str = ""
    subject: str = ""
    tier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One request explained. `found` and `left` are its limits before and after it.

    `path` is the one sent, `changes` what Envoy does before it asks. Without a `credential` nobody
    looked for one, and without a `reason` nobody decided: Envoy answers alone. Of a route in shadow
    `reason` is the one it would have.
    """

    method: str
    path: str
    client_address: str
    changes: tuple[str, ...] = ()
    route: Route | None = None
    credential: ShownCredential | None = None
    reason: Reason | None = None
    why: str
    found: tuple[Reading, ...] = ()
    left: tuple[Reading, ...] = ()
    answer: Answer

    @property
    def passes(self) -> bool:
        """Whether the request would pass."""
        return isinstance(self.answer, Pass)


class Explainer:
    """Explains requests under one policy. Counts nothing."""

    def __init__(
        self, *, policy: Policy, credentials: Credentials, store: CounterStore, clock: Clock
    ) -> None:
        self._policy = policy
        self._credentials = credentials
        self._store = store
        self._clock = clock

    async def explain(self, request: ClientRequest) -> Explanation:
        """Explain a request that a client sends to Envoy.

        Raises:
            NotSeenError: the counter store did not answer.
        """
        arrived = arrive(request, self._policy)
        if isinstance(arrived, NotAsked):
            return Explanation(
                method=request.method,
                path=request.path,
                client_address=request.client_address,
                changes=arrived.changes,
                route=arrived.route,
                why=arrived.why,
                answer=arrived.answer,
            )
        checked = await self.explain_check(arrived.facts)
        return replace(checked, path=request.path, changes=arrived.changes)

    async def explain_check(self, facts: Facts) -> Explanation:
        """Explain a check that Envoy sends.

        Raises:
            NotSeenError: the counter store did not answer.
        """
        counter = PeekingCounter(self._store, clock=self._clock)
        engine = Engine(
            policy=self._policy,
            credentials=self._credentials,
            counter=counter,
            guesses=NoGuesses(),
            clock=self._clock,
            new_id=lambda: MADE_UP_ID,
        )
        answer = await engine.check(facts)
        told = answer.metadata
        reason = Reason(told.get("shadow_reason", told["reason"]))
        route = next((it for it in self._policy.routes if it.name == told.get("route")), None)
        return Explanation(
            method=facts.method,
            path=facts.path,
            client_address=facts.client_address,
            route=route,
            credential=self._shown_credential(facts, answer),
            reason=reason,
            why=_sentence(reason, route, counter.left),
            found=counter.found,
            left=counter.left,
            answer=answer,
        )

    def _shown_credential(self, facts: Facts, answer: Answer) -> ShownCredential:
        """Whom the answer names, or else what is known of a refused key."""
        presented = present(facts)
        known = {name: answer.metadata.get(name, "") for name in ("key_id", "subject", "tier")}
        if isinstance(presented, Malformed):
            return ShownCredential(kind="none that is accepted")
        if isinstance(presented, BearerToken):
            return ShownCredential(kind="bearer token", **known)
        if not isinstance(presented, ApiKey):
            return ShownCredential(kind="none", **known)
        record = self._credentials.find_key(presented.value)
        if isinstance(record, ApiKeyRecord):
            known = {
                "key_id": record.id,
                "subject": f"key:{record.subject}",
                "tier": record.tier,
            }
        return ShownCredential(kind="API key", **known)


def _sentence(reason: Reason, route: Route | None, readings: tuple[Reading, ...]) -> str:
    limit = wait = ""
    if any(reading.retry_after_ms for reading in readings):
        failing = longest_wait(readings)
        limit, wait = failing.charge.limit.name, str(seconds(failing.retry_after_ms))
    sentence = SENTENCES[reason].format(limit=limit, wait=wait, needs=_needs(reason, route))
    if route is not None and route.shadow and reason is not Reason.OK:
        return f"The route is in shadow, so the request passes. Else: {sentence}"
    return sentence


def _needs(reason: Reason, route: Route | None) -> str:
    """What the route asks for that the caller lacks."""
    if route is None:
        return ""
    asked = {
        Reason.TIER_NOT_ALLOWED: route.tiers,
        Reason.MISSING_SCOPE: route.scopes,
        Reason.CREDENTIAL_NOT_ALLOWED: route.credentials,
    }
    return ", ".join(asked.get(reason, ()))
