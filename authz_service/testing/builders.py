"""Short ways to say what a test is about: everything not named has a harmless value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.charges import tier_charges
from authz_service.core.facts import Facts
from authz_service.core.key_digest import Pepper, digest, spell_digest
from authz_service.core.rules import (
    Authentication,
    Overrides,
    Period,
    Policy,
    Quota,
    Rate,
    Route,
    StoreFailure,
    Tier,
    Upstream,
)
from authz_service.identity.key_store import StoredKey
from authz_service.policy.compile import compile_policy
from authz_service.policy.merge import Merged
from authz_service.policy.parse import parse

CLIENT_ADDRESS = "203.0.113.7"
BAD_CREDENTIALS = Rate(name="bad-credentials", limit=20, window_ms=60_000)


@dataclass(frozen=True, slots=True)
class PlantedSecrets:
    """Strings that must never come out anywhere."""

    api_key: str = "sk-canary-4f1d7c90"
    token: str = "canary.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"  # noqa: S105 - planted on purpose
    password: str = "canary-password-81b2"  # noqa: S105 - planted on purpose
    claim: str = "canary-claim-55aa"

    def found_in(self, text: str) -> list[str]:
        """The secrets that `text` gives away."""
        secrets = (self.api_key, self.token, self.password, self.claim)
        return [secret for secret in secrets if secret in text]


def facts(
    *,
    method: str = "GET",
    path: str = "/v1/things",
    query: str = "",
    route_hint: str = "",
    request_id: str = "request-1",
    stream_id: str = "",
    client_address: str = CLIENT_ADDRESS,
    api_keys: tuple[bytes, ...] = (),
    authorizations: tuple[bytes, ...] = (),
    traceparent: str = "",
    cloud_trace: str = "",
) -> Facts:
    """One request, without a credential unless told otherwise."""
    return Facts(
        method=method,
        path=path,
        query=query,
        route_hint=route_hint,
        request_id=request_id,
        stream_id=stream_id,
        client_address=client_address,
        api_keys=api_keys,
        authorizations=authorizations,
        traceparent=traceparent,
        cloud_trace=cloud_trace,
    )


def rate(limit: int = 10, *, name: str = "per-minute", window_ms: int = 60_000) -> Rate:
    """A sliding window."""
    return Rate(name=name, limit=limit, window_ms=window_ms)


def quota(
    limit: int = 500, *, name: str = "per-day", period: Period = Period.DAY, zone: str = "UTC"
) -> Quota:
    """A calendar quota."""
    return Quota(name=name, limit=limit, period=period, zone=zone)


def tier(
    name: str = "free",
    *,
    rate: Rate | None = None,
    quota: Quota | None = None,
    max_upload_bytes: int = 5 << 20,
) -> Tier:
    """A tier, unlimited unless told otherwise."""
    return Tier(name=name, rate=rate, quota=quota, max_upload_bytes=max_upload_bytes)


def route(
    name: str = "things",
    *,
    methods: tuple[str, ...] = ("GET",),
    paths: tuple[str, ...] = ("/v1/things",),
    authentication: Authentication = Authentication.REQUIRED,
    cost: int = 1,
    limits: tuple[Rate, ...] = (),
    forward_limits: bool = False,
    on_store_failure: StoreFailure = StoreFailure.LOCAL,
    for_tiers: tuple[str, ...] = (),
    scopes: tuple[str, ...] = (),
    credentials: tuple[str, ...] = (),
    shadow: bool = False,
    tiers: Sequence[Tier] = (),
) -> Route:
    """A route; what a request on it takes is computed for `tiers`."""
    return Route(
        name=name,
        methods=methods,
        paths=paths,
        authentication=authentication,
        cost=cost,
        limits=limits,
        global_limits=(),
        forward_limits=forward_limits,
        on_store_failure=on_store_failure,
        tiers=for_tiers,
        scopes=scopes,
        credentials=credentials,
        shadow=shadow,
        charges={tier.name: tier_charges(tier, cost, limits, on_store_failure) for tier in tiers},
    )


def policy(
    routes: Sequence[Route],
    *,
    tiers: Sequence[Tier] = (),
    bad_credentials: Rate = BAD_CREDENTIALS,
) -> Policy:
    """A policy of these routes and tiers."""
    return Policy(
        digest="0123456789ab",
        metrics_prefix="test",
        trusted_hops=0,
        body_overhead_bytes=64 << 10,
        cors_origins=(),
        quota_time_zone="UTC",
        bad_credentials=bad_credentials,
        upstream=Upstream(host="127.0.0.1", port=8080, timeout_ms=60_000),
        tiers={tier.name: tier for tier in tiers},
        routes=tuple(routes),
    )


def read_policy(
    text: str, *, file: str = "policy.yaml", environment: Mapping[str, str] | None = None
) -> Policy:
    """The policy a text describes, compiled as the server does.

    Raises:
        ConfigurationError: with every problem of the text.
    """
    return compile_policy(Merged(parse(text, file=file, environment=environment or {}), []))


def key_record(
    key_id: str = "key-1",
    *,
    subject: str = "acme",
    tier: str = "free",
    expires_at_ms: int | None = None,
    disabled: bool = False,
    overrides: Overrides | None = None,
) -> ApiKeyRecord:
    """What is kept of a key."""
    return ApiKeyRecord(
        id=key_id,
        subject=subject,
        tier=tier,
        expires_at_ms=expires_at_ms,
        disabled=disabled,
        overrides=overrides,
    )


def stored_key(
    key_id: str = "key-1",
    *,
    key: bytes | None = None,
    pepper: Pepper | None = None,
    name: str = "A key",
    subject: str | None = None,
    tier: str = "free",
    scopes: tuple[str, ...] = (),
    expires_at_ms: int | None = None,
    disabled: bool = False,
    rate: str | None = None,
    quota: str | None = None,
    networks: tuple[str, ...] = (),
) -> StoredKey:
    """What a store keeps of a key, which is `secret-of-ID` unless told otherwise."""
    secret = f"secret-of-{key_id}".encode() if key is None else key
    return StoredKey(
        id=key_id,
        digest=spell_digest(digest(secret, pepper)),
        name=name,
        subject=key_id if subject is None else subject,
        tier=tier,
        scopes=scopes,
        expires_at_ms=expires_at_ms,
        disabled=disabled,
        rate=rate,
        quota=quota,
        networks=networks,
        created_at_ms=1_900_000_000_000,
    )
