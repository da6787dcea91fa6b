"""The shape of a policy file. What spans several values is checked in `compile`."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from authz_service.core.provider import DAY_MS, DEFAULT_TIER, DEFAULT_TYPES
from authz_service.core.rules import Period
from authz_service.policy import notation
from authz_service.policy.variables import number_or_truth


def _notation(read: Callable[[str], Any], example: str) -> tuple[PlainValidator, WithJsonSchema]:
    """A string with a notation of its own, read by `read`."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(f"must be a string such as {example}")  # noqa: TRY004 - pydantic's way
        return read(value)

    return PlainValidator(validate), WithJsonSchema({"type": "string", "examples": [example]})


def _whole_number(value: object) -> object:
    # Literal compares with ==, and True == 1.0 == 1.
    if type(value) is not int:
        raise ValueError("must be 1")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


WholeNumber = Annotated[int, BeforeValidator(number_or_truth)]
Truth = Annotated[bool, BeforeValidator(number_or_truth)]
Name = Annotated[str, *_notation(notation.name, "per-caller")]
RateText = Annotated[tuple[str, int, int], *_notation(notation.rate, "10/minute")]
ExactRateText = Annotated[tuple[str, int, int], *_notation(notation.exact_rate, "20/minute")]
QuotaText = Annotated[tuple[int, Period], *_notation(notation.quota, "500/day")]
Size = Annotated[int, *_notation(notation.size, "5MB")]
Duration = Annotated[int, *_notation(notation.duration, "60s")]
Address = Annotated[tuple[str, int], *_notation(notation.address, "127.0.0.1:8080")]
Origin = Annotated[str, *_notation(notation.origin, "https://app.example.com")]
PathText = Annotated[str, *_notation(notation.path, "/jobs/{job_id}")]
Span = Annotated[int, *_notation(notation.span, "24h")]
Leeway = Annotated[int, *_notation(notation.leeway, "30s")]
IssuerText = Annotated[str, *_notation(notation.issuer, "https://login.example.com/")]
HttpsUrl = Annotated[str, *_notation(notation.https_url, "https://login.example.com/jwks.json")]
VariableName = Annotated[str, *_notation(notation.variable_name, "LOGIN_SECRET")]
FileName = Annotated[str, *_notation(notation.file_name, "keys/login.pem")]
TokenType = Annotated[str, *_notation(notation.token_type, "at+jwt")]
ClaimName = Annotated[str, *_notation(notation.claim_name, "sub")]
Zone = Annotated[str, *_notation(notation.time_zone, "UTC")]
MetricPrefix = Annotated[str, *_notation(notation.metric_prefix, "imagen")]
HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Scope = Annotated[str, *_notation(notation.scope, "images:write")]
CredentialText = Literal["api_key", "jwt"]
AuthenticationText = Literal["required", "optional", "none"]
SymmetricText = Literal["HS256", "HS384", "HS512"]
RsaText = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
CurveText = Literal["ES256", "ES384", "ES512", "EdDSA"]
AlgorithmText = Literal[SymmetricText, RsaText, CurveText]
StoreFailureText = Literal["local", "allow", "deny"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TierPart(_Part):
    """What a class of callers may use."""

    rate: RateText | None = Field(default=None, description="Requests in any trailing window.")
    quota: QuotaText | None = Field(default=None, description="Requests in a calendar period.")
    max_upload: Size = Field(description="The largest file.")
    rate_on_store_failure: StoreFailureText | None = None
    quota_on_store_failure: StoreFailureText | None = None


class RouteLimitPart(_Part):
    """A limit of a route. Routes that name the same limit share it."""

    name: Name
    rate: RateText
    on_store_failure: StoreFailureText | None = None


class MatchPart(_Part):
    """Which requests a route is."""

    method: Annotated[list[HttpMethod], BeforeValidator(_as_list, str | list[HttpMethod])] = Field(
        min_length=1
    )
    path: Annotated[list[PathText], BeforeValidator(_as_list, str | list[PathText])] = Field(
        min_length=1
    )


class RoutePart(_Part):
    """One protected operation."""

    name: Name
    match: MatchPart
    authentication: AuthenticationText | None = None
    cost: WholeNumber | None = Field(
        default=None, ge=0, le=notation.MAX_COST, description="Taken from rate and quota."
    )
    limits: list[RouteLimitPart] = Field(default=[], description="Per caller; each counts 1.")
    global_limits: list[RouteLimitPart] = Field(default=[], description="Over all callers.")
    forward_limits: Truth = Field(default=False, description="Tell the application what is left.")
    tiers: list[Name] = Field(default=[], description="Who may call; everybody if empty.")
    scopes: list[Scope] = Field(default=[], description="What a credential needs, all of them.")
    credentials: list[CredentialText] = Field(
        default=[], description="Which kinds of credential will do; any if empty."
    )
    shadow: Truth | None = Field(default=None, description="Decide and tell, but let pass.")
    on_store_failure: StoreFailureText | None = None


class DefaultsPart(_Part):
    """What a route is unless it says otherwise."""

    authentication: AuthenticationText = "required"
    on_store_failure: StoreFailureText = "local"
    shadow: Truth = False


class UpstreamPart(_Part):
    """The protected application."""

    address: Address
    timeout: Duration = Field(default=60_000, description="For a whole response.")


class CorsPart(_Part):
    """Which web pages may call."""

    origins: list[Origin] = []


class ProviderPart(_Part):
    """Who issues tokens, and what they must keep to."""

    name: Name
    issuer: IssuerText = Field(description="The claim iss, exactly.")
    audiences: list[IssuerText] = Field(min_length=1, description="A token must name one in aud.")
    algorithms: list[AlgorithmText] = Field(min_length=1)
    secret_env: VariableName | None = None
    secret_file: FileName | None = None
    pem_file: FileName | None = None
    jwks_file: FileName | None = None
    jwks_url: HttpsUrl | None = None
    jwks_ca_file: FileName | None = Field(
        default=None, description="Authorities of the URL's server, in place of the system's."
    )
    jwks_refresh: Span | None = Field(default=None, description="How often keys are fetched; 5m.")
    jwks_max_age: Span | None = Field(
        default=None, description="How long keys are used that cannot be fetched anew; 24h."
    )
    jwks_cooldown: Span | None = Field(
        default=None, description="At most one fetch for unknown keys in this time; 30s."
    )
    types: list[TokenType] = Field(
        default=[*DEFAULT_TYPES], min_length=1, description="Accepted typ; none counts as JWT."
    )
    subject_claim: ClaimName = "sub"
    tier_claim: ClaimName = "tier"
    scope_claim: ClaimName = "scope"
    default_tier: Name = Field(default=DEFAULT_TIER, description="Without a claim of a tier.")
    tiers: list[Name] = Field(
        default=[], description="Tiers that tokens may name, beside the default."
    )
    max_lifetime: Span = Field(default=DAY_MS, description="From iat to exp.")
    leeway: Leeway = Field(default=30_000, description="How far clocks may differ.")


class PolicyFile(_Part):
    """A whole policy."""

    version: Annotated[Literal[1], BeforeValidator(_whole_number)]
    include: list[str] = Field(default=[], description="Files with more tiers, routes and limits.")
    metrics_prefix: MetricPrefix = "authz"
    trusted_hops: WholeNumber = Field(
        default=0, ge=0, le=10, description="Proxies in front of Envoy that append to XFF."
    )
    quota_time_zone: Zone = "UTC"
    body_overhead: Size = Field(
        default=64 << 10, description="How much larger than its file a request body may be."
    )
    cors: CorsPart = CorsPart()
    bad_credentials: ExactRateText = Field(
        default=("per-minute", 20, 60_000),
        description="Invalid credentials from one address, in each worker.",
    )
    tiers: dict[Name, TierPart] = Field(min_length=1)
    jwt: list[ProviderPart] = Field(default=[], description="Who issues tokens.")
    upstream: UpstreamPart
    defaults: DefaultsPart = DefaultsPart()
    routes: list[RoutePart] = Field(min_length=1)
