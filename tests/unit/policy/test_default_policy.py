"""The policy of the image service says what the service promises, value by value."""

from pathlib import Path

import pytest

import image_service
from authz_service.core.rules import Authentication, Charge, Period, Policy, Rate, StoreFailure
from authz_service.policy.sources import load_policy

FILE = Path(image_service.__file__).with_name("policy.yaml")
MB = 1 << 20


@pytest.fixture(scope="module")
def policy() -> Policy:
    """The policy as it ships, without any variable."""
    return load_policy(FILE, {})


@pytest.mark.parametrize(
    ("tier", "per_minute", "per_day", "megabytes"),
    [
        ("anonymous", 5, 100, 2),
        ("free", 10, 500, 5),
        ("pro", 60, 10_000, 25),
        ("enterprise", 300, 100_000, 100),
    ],
)
def test_a_tier_is_worth_what_is_promised(
    policy: Policy, tier: str, per_minute: int, per_day: int, megabytes: int
) -> None:
    """Each tier has the promised requests a minute, requests a day (UTC) and largest file."""
    rate, quota = policy.tiers[tier].rate, policy.tiers[tier].quota
    assert rate == Rate(name="per-minute", limit=per_minute, window_ms=60_000)
    assert quota is not None
    assert (quota.name, quota.limit, quota.period, quota.zone) == (
        "per-day",
        per_day,
        Period.DAY,
        "UTC",
    )
    assert policy.tiers[tier].max_upload_bytes == megabytes * MB


def test_there_are_no_other_tiers(policy: Policy) -> None:
    """Four tiers, in the order in which they are worth more."""
    assert list(policy.tiers) == ["anonymous", "free", "pro", "enterprise"]


@pytest.mark.parametrize(
    ("name", "methods", "paths", "authentication"),
    [
        ("limits", ("GET",), ("/api/v1/images/limits",), "optional"),
        ("upscale", ("POST",), ("/api/v1/images/upscale",), "required"),
        ("job", ("GET", "DELETE"), ("/api/v1/jobs/{job_id}",), "required"),
        ("job-result", ("GET", "HEAD"), ("/api/v1/jobs/{job_id}/result",), "required"),
        ("health", ("GET",), ("/healthz", "/readyz"), "none"),
        ("docs", ("GET",), ("/openapi.json", "/docs", "/docs/{asset}"), "none"),
    ],
)
def test_a_route_is_what_is_documented(
    policy: Policy, name: str, methods: tuple[str, ...], paths: tuple[str, ...], authentication: str
) -> None:
    """Each route answers these methods and paths, and asks for a caller as documented."""
    (route,) = [route for route in policy.routes if route.name == name]
    assert (route.methods, route.paths) == (methods, paths)
    assert route.authentication is Authentication(authentication)
    assert route.on_store_failure is StoreFailure.LOCAL
    assert route.forward_limits is (name == "limits")


def test_there_are_no_other_routes(policy: Policy) -> None:
    """Nothing is reachable that is not documented."""
    assert [route.name for route in policy.routes] == [
        "limits",
        "upscale",
        "job",
        "job-result",
        "health",
        "docs",
    ]


@pytest.mark.parametrize("name", ["limits", "upscale"])
def test_a_request_takes_one_from_rate_and_quota(policy: Policy, name: str) -> None:
    """Asking for the limits and upscaling cost one request of the tier each."""
    (route,) = [route for route in policy.routes if route.name == name]
    for tier in policy.tiers.values():
        assert tier.rate is not None
        assert tier.quota is not None
        assert route.charges[tier.name] == (Charge(tier.rate, 1), Charge(tier.quota, 1))


@pytest.mark.parametrize("name", ["job", "job-result"])
def test_looking_at_jobs_takes_nothing_from_the_tier(policy: Policy, name: str) -> None:
    """The job routes share one limit of 120 in 60 s and leave rate and quota alone."""
    (route,) = [route for route in policy.routes if route.name == name]
    jobs = Rate(name="jobs", limit=120, window_ms=60_000)
    assert set(route.charges.values()) == {(Charge(jobs, 1),)}


@pytest.mark.parametrize("name", ["health", "docs"])
def test_open_routes_take_nothing(policy: Policy, name: str) -> None:
    """Routes that ask for no caller charge nobody."""
    (route,) = [route for route in policy.routes if route.name == name]
    assert route.cost == 0
    assert set(route.charges.values()) == {()}


def test_the_rest_of_the_policy(policy: Policy) -> None:
    """Prefix, hops, body overhead, upstream and (without a variable) no CORS origin."""
    assert policy.metrics_prefix == "imagen"
    assert policy.trusted_hops == 0
    assert policy.body_overhead_bytes == 64 * 1024
    assert policy.cors_origins == ()
    upstream = policy.upstream
    assert (upstream.host, upstream.port, upstream.timeout_ms) == ("127.0.0.1", 8080, 60_000)


def test_the_origins_come_from_a_variable() -> None:
    """CORS_ORIGINS, a JSON list, becomes the list of origins."""
    policy = load_policy(FILE, {"CORS_ORIGINS": '["https://app.example.com", "http://[::1]:3000"]'})
    assert policy.cors_origins == ("https://app.example.com", "http://[::1]:3000")


def test_what_differs_between_deployments_comes_from_variables() -> None:
    """How many proxies stand in front, and whether anything is refused."""
    policy = load_policy(FILE, {"TRUSTED_HOPS": "2", "SHADOW": "true"})
    assert policy.trusted_hops == 2
    assert {route.name for route in policy.routes if not route.shadow} == {"health", "docs"}
