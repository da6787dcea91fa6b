"""What right policies mean: notations, defaults, variables, fragments, digest, schema."""

import json
from pathlib import Path

import pytest

from authz_service.core.provider import (
    JwksFile,
    JwksUrl,
    PemFile,
    Provider,
    SecretFile,
    SecretVariable,
)
from authz_service.core.rules import (
    Authentication,
    Charge,
    Period,
    Quota,
    Rate,
    StoreFailure,
    Upstream,
)
from authz_service.errors import ConfigurationError
from authz_service.policy.schema import PolicyFile
from authz_service.policy.sources import load_policy, policy_files
from authz_service.testing.builders import read_policy

VALID = Path(__file__).parents[2] / "fixtures" / "policies" / "valid"
MINIMAL = (VALID / "minimal.yaml").read_text()
ORIGINS = MINIMAL + 'cors: {origins: "${ORIGINS:-}"}\n'


def test_every_key_has_its_effect() -> None:
    """A file that sets every key compiles to exactly these rules."""
    policy = load_policy(VALID / "complete.yaml", {})
    assert policy.metrics_prefix == "shop_v2"
    assert policy.trusted_hops == 2
    assert policy.body_overhead_bytes == 128 << 10
    assert policy.cors_origins == (
        "https://app.example.com",
        "http://localhost:3000",
        "https://[::1]:8443",
    )
    assert policy.upstream == Upstream(host="::1", port=8080, timeout_ms=250)
    assert list(policy.tiers) == ["anonymous", "free", "pro", "partner"]
    assert [route.name for route in policy.routes] == ["list", "order", "status", "partner"]


def test_tiers_get_rates_and_quotas_named_after_their_window() -> None:
    """Limits are named by their window, a sliding day differently from a calendar day."""
    tiers = load_policy(VALID / "complete.yaml", {}).tiers
    assert tiers["anonymous"].rate is None
    assert tiers["anonymous"].quota is None
    assert tiers["anonymous"].max_upload_bytes == 1
    assert tiers["free"].rate == Rate(name="per-10s", limit=5, window_ms=10_000)
    assert tiers["free"].quota == Quota(
        name="per-week", limit=1_000, period=Period.WEEK, zone="Europe/Berlin"
    )
    assert tiers["pro"].rate == Rate(
        name="per-hour",
        limit=1_000,
        window_ms=3_600_000,
        on_store_failure=StoreFailure.LOCAL,
    )
    assert tiers["pro"].quota == Quota(
        name="per-month",
        limit=20_000,
        period=Period.MONTH,
        zone="Europe/Berlin",
        on_store_failure=StoreFailure.ALLOW,
    )
    assert tiers["partner"].rate == Rate(name="per-24h", limit=10, window_ms=86_400_000)


@pytest.mark.parametrize(
    ("text", "limit", "window_ms"),
    [
        ("1000/minute", 1_000, 60_000),
        ("1001/minute", 1_001, 60_000),
        ("50000 per 10s", 50_000, 10_000),
        ("1000000000/day", 1_000_000_000, 86_400_000),
    ],
)
def test_a_rate_may_be_large(text: str, limit: int, window_ms: int) -> None:
    """Up to a thousand million in a window, of a tier and of a route."""
    data = {
        "version": 1,
        "tiers": {"free": {"rate": text, "max_upload": "1MB"}},
        "upstream": {"address": "127.0.0.1:8080"},
        "routes": [
            {
                "name": "all",
                "match": {"method": "GET", "path": "/"},
                "limits": [{"name": "own", "rate": text}],
            }
        ],
    }
    policy = read_policy(json.dumps(data))
    rates = (policy.tiers["free"].rate, *policy.routes[0].limits)
    assert [(it.limit, it.window_ms) for it in rates if it] == [(limit, window_ms)] * 2


def test_a_provider_is_what_its_part_says() -> None:
    """Every key of a provider has its effect; types are compared in one form."""
    login = load_policy(VALID / "providers.yaml", {}).providers[0]
    assert login == Provider(
        name="login",
        issuer="https://login.example.com/",
        audiences=frozenset({"things", "https://things.example.com"}),
        algorithms=frozenset({"RS256", "ES256"}),
        keys=JwksUrl(
            url="https://login.example.com:8443/jwks.json?v=1",
            ca_file="ca.pem",
            refresh_ms=600_000,
            max_age_ms=7 * 86_400_000,
            cooldown_ms=60_000,
        ),
        default_tier="pro",
        tiers=frozenset({"free", "pro", "partner"}),
        types=frozenset({"at+jwt"}),
        subject_claim="uid",
        tier_claim="https://things.example.com/plan",
        scope_claim="scp",
        max_lifetime_ms=3_600_000,
        leeway_ms=0,
    )


def test_a_provider_has_one_source_of_keys() -> None:
    """The one that its part names."""
    _, *others = load_policy(VALID / "providers.yaml", {}).providers
    assert [provider.keys for provider in others] == [
        SecretVariable("LOGIN_SECRET"),
        SecretFile("secret"),
        PemFile("keys/login.pem"),
        JwksFile("keys/login.json"),
        JwksUrl(url="https://[::1]"),
    ]


def test_a_provider_grants_little_unless_told() -> None:
    """The default tier alone, tokens of a day, half a minute between clocks, plain types."""
    pem = load_policy(VALID / "providers.yaml", {}).providers[3]
    assert (pem.default_tier, pem.tiers) == ("free", frozenset({"free"}))
    assert (pem.max_lifetime_ms, pem.leeway_ms) == (86_400_000, 30_000)
    assert pem.types == frozenset({"jwt", "at+jwt"})
    assert (pem.subject_claim, pem.tier_claim, pem.scope_claim) == ("sub", "tier", "scope")


def test_keys_are_fetched_every_five_minutes_unless_told() -> None:
    """And used for a day; keys that are missing are looked for twice a minute at most."""
    keys = load_policy(VALID / "providers.yaml", {}).providers[5].keys
    assert isinstance(keys, JwksUrl)
    assert (keys.refresh_ms, keys.max_age_ms, keys.cooldown_ms) == (300_000, 86_400_000, 30_000)


def test_the_files_of_providers_are_files_of_the_policy() -> None:
    """Whoever follows the policy follows them too."""
    files = policy_files(VALID / "providers.yaml", {})
    assert [str(file.relative_to(VALID)) for file in files] == [
        "providers.yaml",
        "ca.pem",
        "secret",
        "keys/login.pem",
        "keys/login.json",
    ]


def test_a_route_keeps_its_own_words_over_the_defaults() -> None:
    """What a route says itself wins over `defaults`; what it does not say comes from there."""
    listed, order, status, partner = load_policy(VALID / "complete.yaml", {}).routes
    assert listed.authentication is Authentication.OPTIONAL
    assert listed.on_store_failure is StoreFailure.DENY
    assert order.authentication is Authentication.REQUIRED
    assert order.on_store_failure is StoreFailure.ALLOW
    assert status.authentication is Authentication.NONE
    assert partner.on_store_failure is StoreFailure.DENY


def test_a_limit_keeps_its_own_words_over_those_of_its_route() -> None:
    """What becomes of a limit while the store is away: the limit says, or else the route."""
    _, order, _, partner = load_policy(VALID / "complete.yaml", {}).routes
    modes = [charge.on_store_failure for charge in order.charges["pro"]]
    allow, deny = StoreFailure.ALLOW, StoreFailure.DENY
    assert modes == [StoreFailure.LOCAL, allow, allow, deny]
    assert [charge.on_store_failure for charge in partner.charges["pro"]] == [deny]


def test_a_request_takes_its_cost_from_the_tier_and_one_from_the_routes_limits() -> None:
    """Cost applies to rate and quota; each limit of the route counts 1 whatever the cost."""
    policy = load_policy(VALID / "complete.yaml", {})
    order, free = policy.routes[1], policy.tiers["free"]
    assert free.rate is not None
    assert free.quota is not None
    assert order.charges["free"] == (
        Charge(free.rate, 3, StoreFailure.ALLOW),
        Charge(free.quota, 3, StoreFailure.ALLOW),
        Charge(Rate(name="writes", limit=30, window_ms=60_000), 1, StoreFailure.ALLOW),
        Charge(order.limits[1], 1, StoreFailure.DENY),
    )
    assert (order.limits[1].name, order.limits[1].limit) == ("burst", 2)
    assert order.global_limits == (Rate(name="writes-total", limit=600, window_ms=60_000),)


def test_a_cost_of_zero_leaves_the_tier_out() -> None:
    """A limit of which a request takes nothing has no part in it."""
    partner = load_policy(VALID / "complete.yaml", {}).routes[3]
    writes = Charge(Rate(name="writes", limit=30, window_ms=60_000), 1, StoreFailure.DENY)
    assert set(partner.charges.values()) == {(writes,)}


def test_a_route_that_asks_for_no_caller_charges_nobody() -> None:
    """Should Envoy ask about an open route all the same, the answer costs nothing."""
    status = load_policy(VALID / "complete.yaml", {}).routes[2]
    assert set(status.charges.values()) == {()}


def test_what_a_minimal_policy_leaves_out_has_these_defaults() -> None:
    """Callers are required, a request costs 1, a failing store is counted around locally."""
    policy = read_policy(MINIMAL)
    (route,) = policy.routes
    assert route.authentication is Authentication.REQUIRED
    assert route.on_store_failure is StoreFailure.LOCAL
    assert (route.cost, route.limits, route.forward_limits) == (1, (), False)
    assert (policy.metrics_prefix, policy.trusted_hops) == ("authz", 0)
    assert policy.body_overhead_bytes == 64 << 10
    assert policy.upstream.timeout_ms == 60_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["https://a.example"]', ("https://a.example",)),
        ("[]", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_a_variable_fills_a_value(text: str | None, expected: tuple[str, ...]) -> None:
    """A set variable is read as JSON; where it may be missing, the key's default applies."""
    environment = {} if text is None else {"ORIGINS": text}
    assert read_policy(ORIGINS, environment=environment).cors_origins == expected


@pytest.mark.parametrize("environment", [{}, {"FREE_RATE": ""}])
def test_a_limit_whose_variable_is_unset_is_no_unlimited_tier(environment: dict[str, str]) -> None:
    """A forgotten variable is an error that says how to leave a key out on purpose."""
    text = MINIMAL.replace("10/minute", '"${FREE_RATE}"')
    with pytest.raises(ConfigurationError) as caught:
        read_policy(text, environment=environment)
    (problem,) = caught.value.problems
    assert problem.startswith("policy.yaml:4: tiers.free.rate: ${FREE_RATE} is unset or empty; ")
    on_purpose = read_policy(text.replace("RATE}", "RATE:-}"), environment=environment)
    assert on_purpose.tiers["free"].rate is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, ("https://a.example",)), ({"ORIGINS": '["https://b.example"]'}, ("https://b.example",))],
)
def test_a_default_stands_in_for_a_variable(
    environment: dict[str, str], expected: tuple[str, ...]
) -> None:
    """The text after `:-` is read as the variable's would be."""
    text = ORIGINS.replace('"${ORIGINS:-}"', """'${ORIGINS:-["https://a.example"]}'""")
    assert read_policy(text, environment=environment).cors_origins == expected


@pytest.mark.parametrize(("text", "hops"), [("2", 2), ("0", 0), ("", 0)])
def test_a_variable_that_is_a_number_is_one(text: str, hops: int) -> None:
    """As it would be without quotes in the file; the same goes for true and false."""
    policy = MINIMAL + "trusted_hops: ${HOPS:-}\ndefaults:\n  shadow: ${SHADOW:-}\n"
    for shadow in ("true", "false"):
        read = read_policy(policy, environment={"HOPS": text, "SHADOW": shadow})
        assert (read.trusted_hops, read.routes[0].shadow) == (hops, shadow == "true")


@pytest.mark.parametrize("text", ["69629023906488334", "0", "true"])
def test_a_variable_is_text_where_text_belongs(text: str) -> None:
    """Issuers number their clients too: an audience of digits is no number."""
    token = """
jwt:
  - name: login
    issuer: https://login.example.com/
    audiences: ["${CLIENT}"]
    algorithms: [RS256]
    jwks_url: https://login.example.com/jwks.json
"""
    (provider,) = read_policy(MINIMAL + token, environment={"CLIENT": text}).providers
    assert provider.audiences == {text}


def test_digits_in_quotes_are_no_number() -> None:
    """Only a variable has no quotes to tell the two apart."""
    with pytest.raises(ConfigurationError, match="trusted_hops: '2' must be a whole number"):
        read_policy(MINIMAL + 'trusted_hops: "2"\n')


@pytest.mark.parametrize("text", ["02", "2.0", "+2", "1e1", " 2", "True", "9" * 30])
def test_a_variable_that_is_almost_a_number_is_text(text: str) -> None:
    """Text is no number of proxies, and the message does not repeat it."""
    with pytest.raises(ConfigurationError) as caught:
        read_policy(MINIMAL + "trusted_hops: ${HOPS}\n", environment={"HOPS": text})
    (problem,) = caught.value.problems
    assert "trusted_hops: ${HOPS}" in problem
    assert text not in problem.replace("${HOPS}", "")


@pytest.mark.parametrize("text", ['["https://a.example"', "[" * 100_000, "{]"])
def test_a_variable_that_is_no_json_is_a_problem_of_its_line(text: str) -> None:
    """Broken JSON in a variable is reported where the variable is used, without its value."""
    with pytest.raises(ConfigurationError) as caught:
        read_policy(ORIGINS, environment={"ORIGINS": text})
    assert caught.value.problems == ("policy.yaml:9: cors.origins: ${ORIGINS} is not valid JSON",)


def test_a_variable_in_a_list_leaves_its_place_out() -> None:
    """A missing variable inside a list is no element, and the lines of the others stay right."""
    text = MINIMAL + 'cors:\n  origins:\n    - "${NOT_SET:-}"\n    - "*"\n'
    with pytest.raises(ConfigurationError) as caught:
        read_policy(text)
    (problem,) = caught.value.problems
    assert problem.startswith("policy.yaml:12: cors.origins[0]: '*' is no origin")


def test_a_variable_inside_other_text_is_text() -> None:
    """Only a value that is exactly `${NAME}` is a variable: nothing is spliced into text."""
    with pytest.raises(ConfigurationError, match=r"'\$\{PREFIX\}_v2' is no metric prefix"):
        read_policy(MINIMAL + "metrics_prefix: ${PREFIX}_v2\n", environment={"PREFIX": "shop"})


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A policy that cannot be read is named with the reason."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_policy(tmp_path / "nowhere.yaml", {})


def test_bytes_that_are_no_text_are_a_configuration_error(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused like any other broken YAML."""
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"version: 1\nmetrics_prefix: \xff\xfe\n")
    with pytest.raises(ConfigurationError, match="it holds a character YAML forbids"):
        load_policy(file, {})


def test_the_digest_names_the_data_not_the_layout() -> None:
    """Comments, order of keys and quoting do not change the digest."""
    rewritten = """
# The same policy, written by somebody else.
routes:
- match:
    path: '/v1/things'
    method: "GET"
  name: things
upstream:
  address: 127.0.0.1:8080
tiers:
  free:
    max_upload: "5MB"
    quota: 100/day
    rate: 10/minute
version: 1
"""
    assert read_policy(rewritten).digest == read_policy(MINIMAL).digest


def test_limits_of_fragments_stand_behind_those_of_their_routes() -> None:
    """Whichever file the route is in; a route of which no fragment speaks keeps its own."""
    listed, status, thing = load_policy(VALID / "limits-in-fragments.yaml", {}).routes
    burst = Rate(name="burst", limit=5, window_ms=10_000)
    reads = Rate(name="reads", limit=120, window_ms=60_000)
    searches = Rate(name="searches", limit=30, window_ms=60_000)
    assert listed.limits == (burst, reads, searches)
    assert status.limits == ()
    assert thing.limits == (reads,)
    assert Charge(reads, 1) in thing.charges["free"]


def test_the_digest_does_not_tell_one_file_from_several() -> None:
    """The same routes and limits in one file are the same policy."""
    text = (VALID / "limits-in-fragments.yaml").read_text()
    limits = "{name: reads, rate: 120/minute}"
    whole = (
        text.replace("include:", "# include:").replace(
            "5 per 10s}]", f"5 per 10s}}, {limits}, {{name: searches, rate: 30/minute}}]"
        )
        + (VALID / "fragments" / "things.yaml").read_text().removeprefix("routes:\n")
        + f"    limits: [{limits}]\n"
    )
    assert read_policy(whole).digest == load_policy(VALID / "limits-in-fragments.yaml", {}).digest


def test_the_digest_changes_with_any_value() -> None:
    """Two policies that differ in one number have different digests."""
    assert read_policy(MINIMAL.replace("5MB", "6MB")).digest != read_policy(MINIMAL).digest


def test_the_schema_for_editors_knows_every_key() -> None:
    """The exported JSON Schema is JSON and lists each key of each part, with nothing added."""
    schema = json.loads(json.dumps(PolicyFile.model_json_schema()))
    assert set(schema["properties"]) == set(PolicyFile.model_fields)
    assert schema["additionalProperties"] is False
    parts = schema["$defs"]
    assert {"TierPart", "RoutePart", "MatchPart", "RouteLimitPart", "UpstreamPart"} <= set(parts)
    for part in parts.values():
        assert part["additionalProperties"] is False
    assert parts["RoutePart"]["properties"]["match"] == {"$ref": "#/$defs/MatchPart"}
