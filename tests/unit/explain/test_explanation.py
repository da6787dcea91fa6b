"""What an explanation tells: route, credential, reason, limits before and after, answer."""

import pytest

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.identity import Identity, Method
from authz_service.core.respond import Pass, Refuse
from authz_service.core.rules import Authentication, Charge
from authz_service.core.verdict import Reason
from authz_service.explain.explanation import Explainer, Explanation, ShownCredential
from authz_service.explain.peek import NotSeenError
from authz_service.explain.reasons import SENTENCES
from authz_service.explain.request import client_request
from authz_service.storage.memory import MemoryStore
from authz_service.testing.builders import (
    CLIENT_ADDRESS,
    PlantedSecrets,
    key_record,
    policy,
    quota,
    rate,
    route,
    tier,
)
from authz_service.testing.clock import ManualClock
from authz_service.testing.credentials import FixedCredentials
from authz_service.testing.stores import Fault, FaultyStore

MINUTE, DAY = rate(3), quota(9)
TIERS = [tier("free", rate=MINUTE, quota=DAY), tier("anonymous", rate=rate(1))]
POLICY = policy(
    [
        route("things", cost=2, tiers=TIERS),
        route("open", paths=("/open",), authentication=Authentication.NONE, cost=0, tiers=TIERS),
        route("public", paths=("/public",), authentication=Authentication.OPTIONAL, tiers=TIERS),
        route("trial", paths=("/trial",), shadow=True, tiers=TIERS),
        route("scoped", paths=("/scoped",), cost=2, scopes=("a", "b"), tiers=TIERS),
        route("change", methods=("PUT", "DELETE"), paths=("/v1/things",), tiers=TIERS),
    ],
    tiers=TIERS,
)
KEY = ("x-api-key", PlantedSecrets().api_key)
TOKEN = ("authorization", f"Bearer {PlantedSecrets().token}")


class Desk:
    """Explains under the policy above, with a store of its own."""

    def __init__(
        self,
        key: ApiKeyRecord | Reason = Reason.UNKNOWN_KEY,
        token: Identity | Reason = Reason.UNKNOWN_ISSUER,
    ) -> None:
        self.clock = ManualClock()
        self.store = FaultyStore(MemoryStore(self.clock))
        self._explainer = Explainer(
            policy=POLICY,
            credentials=FixedCredentials(key=key, token=token),
            store=self.store,
            clock=self.clock,
        )

    async def explain(
        self, *headers: tuple[str, str], method: str = "GET", target: str = "/v1/things"
    ) -> Explanation:
        """Explain one request."""
        return await self._explainer.explain(
            client_request(
                method=method, target=target, headers=headers, client_address=CLIENT_ADDRESS
            )
        )


async def test_a_request_that_passes_is_told_with_what_it_takes() -> None:
    """Limits before and after, though nothing is taken: asked again, it is the same."""
    desk = Desk(key_record())
    for _ in range(2):
        it = await desk.explain(KEY)
        assert it.passes
        assert (it.reason, it.route) == (Reason.OK, POLICY.routes[0])
        assert [(a.remaining, b.remaining) for a, b in zip(it.found, it.left, strict=True)] == [
            (3, 1),
            (9, 7),
        ]
        assert it.left[0].reset_ms == 60_000
        assert 0 < it.left[1].reset_ms <= 86_400_000
        assert isinstance(it.answer, Pass)
        assert dict(it.answer.response_headers)["x-ratelimit-remaining"] == "1"


async def test_a_limit_that_is_used_up_is_told_with_its_wait() -> None:
    """The limits stay as they were found, and the sentence says which and how long."""
    desk = Desk(key_record())
    await desk.store.charge("key:acme", (Charge(MINUTE, 2),))
    desk.clock.advance(20_500)
    it = await desk.explain(KEY)
    assert not it.passes
    assert it.reason is Reason.RATE_LIMITED
    assert it.why == "The limit per-minute has no room for this request: it would pass in 40 s."
    assert it.found == it.left
    assert [reading.remaining for reading in it.found] == [1, 9]


async def test_a_used_limit_resets_with_its_oldest_admission() -> None:
    """What is counted already decides when the first place comes back."""
    desk = Desk(key_record())
    await desk.store.charge("key:acme", (Charge(MINUTE, 1),))
    desk.clock.advance(20_000)
    it = await desk.explain(KEY)
    assert (it.left[0].remaining, it.left[0].reset_ms) == (0, 40_000)


@pytest.mark.parametrize(
    ("record", "headers", "shown"),
    [
        (key_record(), (KEY,), ("API key", "key-1", "key:acme", "free")),
        (key_record(disabled=True), (KEY,), ("API key", "key-1", "key:acme", "free")),
        (Reason.UNKNOWN_KEY, (KEY,), ("API key", "", "", "")),
        (Reason.UNKNOWN_KEY, (), ("none", "", "", "")),
        (Reason.UNKNOWN_KEY, (KEY, KEY), ("none that is accepted", "", "", "")),
        (Reason.UNKNOWN_KEY, (TOKEN,), ("bearer token", "", "jwt:corp:eve", "free")),
    ],
)
async def test_a_credential_is_named_and_not_shown(
    record: ApiKeyRecord | Reason,
    headers: tuple[tuple[str, str], ...],
    shown: tuple[str, str, str, str],
    planted_secrets: PlantedSecrets,
) -> None:
    """Its kind, and where it is known its id, subject and tier, also of one that is refused."""
    token = Identity(subject="jwt:corp:eve", tier="free", method=Method.JWT)
    it = await Desk(record, token).explain(*headers)
    kind, key_id, subject, of_tier = shown
    assert it.credential == ShownCredential(kind=kind, key_id=key_id, subject=subject, tier=of_tier)
    assert planted_secrets.found_in(repr(it)) == []


async def test_an_anonymous_caller_is_told_by_its_address() -> None:
    """No credential, but a subject and a tier."""
    it = await Desk().explain(target="/public")
    assert it.passes
    expected = ShownCredential(kind="none", subject=f"anon:{CLIENT_ADDRESS}", tier="anonymous")
    assert it.credential == expected


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "why"),
    [
        ("GET", "/nowhere", (), 404, "No route of the policy has this path."),
        ("POST", "/v1/things", (), 405, "this path, but only with GET, PUT, DELETE."),
        ("GET", "/a%2Fb", (), 400, "The path has an encoded slash, backslash or NUL"),
        ("GET", "/open", (("x_a", "1"),), 400, "A header has an underscore in its name"),
    ],
)
async def test_what_envoy_refuses_by_itself_is_told(
    method: str, target: str, headers: tuple[tuple[str, str], ...], status: int, why: str
) -> None:
    """With its status and why; nobody looks at credentials or limits."""
    desk = Desk()
    it = await desk.explain(*headers, method=method, target=target)
    assert isinstance(it.answer, Refuse)
    assert it.answer.status == status
    assert why in it.why
    assert (it.reason, it.credential, it.route, it.found) == (None, None, None, ())
    assert desk.store.calls == 0


async def test_a_route_in_shadow_passes_and_tells_what_it_would_refuse_for() -> None:
    """The reason is the one it would have; credentials go on to the application."""
    it = await Desk().explain(KEY, target="/trial")
    assert it.passes
    assert it.reason is Reason.UNKNOWN_KEY
    expected = "The route is in shadow, so the request passes. Else: No such key is known"
    assert it.why.startswith(expected)
    assert isinstance(it.answer, Pass)
    assert "x-api-key" not in it.answer.upstream_removed


async def test_a_limit_that_a_route_in_shadow_exceeds_is_told() -> None:
    """With its name and wait, though no answer carries them."""
    desk = Desk(key_record())
    await desk.store.charge("key:acme", (Charge(MINUTE, 3),))
    it = await desk.explain(KEY, target="/trial")
    assert it.passes
    assert it.why.endswith("per-minute has no room for this request: it would pass in 60 s.")


async def test_a_caller_who_may_not_is_told_what_is_asked_for() -> None:
    """All of the route's scopes; such a request takes 1, whatever the route costs."""
    it = await Desk(key_record()).explain(KEY, target="/scoped")
    assert isinstance(it.answer, Refuse)
    assert it.answer.status == 403
    assert it.why == SENTENCES[Reason.MISSING_SCOPE].format(needs="a, b")
    assert [reading.remaining for reading in it.left] == [2, 8]


async def test_bad_credentials_are_not_counted_by_explaining() -> None:
    """The hundredth explanation of a wrong key is that of the first."""
    desk = Desk()
    assert {(await desk.explain(KEY)).reason for _ in range(100)} == {Reason.UNKNOWN_KEY}


async def test_an_open_route_passes_without_being_asked_about() -> None:
    """Even with a key that would be refused."""
    desk = Desk()
    it = await desk.explain(KEY, target="/open")
    assert it.passes
    assert (it.reason, it.route) == (None, POLICY.routes[1])
    assert desk.store.calls == 0


async def test_what_envoy_changes_is_told() -> None:
    """The spelling of the path, headers that are not the client's to send, and what is not read."""
    it = await Desk(key_record()).explain(
        KEY,
        ("X-Authz-Tier", "pro"),
        ("x-envoy-internal", "1"),
        ("x-authz-tier", "pro"),
        ("X-Forwarded-For", "198.51.100.9"),
        target="/v1/./x/..//things",
    )
    assert it.passes
    assert it.path == "/v1/./x/..//things"
    assert it.changes == (
        "the path becomes /v1/things",
        "removed, for a client may not send it: x-authz-tier, x-envoy-internal",
        "X-Forwarded-For is not weighed here: the client address is taken as given",
    )


async def test_counters_that_cannot_be_seen_are_an_error() -> None:
    """A store that does not answer here may well answer the service: nothing is made up."""
    desk = Desk(key_record())
    desk.store.fault = Fault.FAILING
    with pytest.raises(NotSeenError, match="the counters cannot be seen: this store fails"):
        await desk.explain(KEY)
