"""A policy equal to the default one, and settings for it."""

from dataclasses import replace
from pathlib import Path

from authz_service.core.rules import (
    Authentication,
    Period,
    Policy,
    Quota,
    Rate,
    Route,
    StoreFailure,
    Tier,
    Upstream,
)
from authz_service.envoyconf.model import EnvoySettings
from authz_service.testing.builders import BAD_CREDENTIALS

MIB = 1_048_576
OVERHEAD = 65_536
FILE_LIMITS = {"anonymous": 2 * MIB, "free": 5 * MIB, "pro": 25 * MIB, "enterprise": 100 * MIB}

_RATES = {"anonymous": 5, "free": 10, "pro": 60, "enterprise": 300}
_QUOTAS = {"anonymous": 100, "free": 500, "pro": 10_000, "enterprise": 100_000}


def tier(name: str) -> Tier:
    """One of the four default tiers."""
    return Tier(
        name=name,
        rate=Rate(name="per-minute", limit=_RATES[name], window_ms=60_000),
        quota=Quota(name="per-day", limit=_QUOTAS[name], period=Period.DAY, zone="UTC"),
        max_upload_bytes=FILE_LIMITS[name],
    )


def route(
    name: str,
    methods: tuple[str, ...],
    *paths: str,
    authentication: Authentication = Authentication.REQUIRED,
) -> Route:
    """A route that costs nothing: what it costs is not Envoy's business."""
    return Route(
        name=name,
        methods=methods,
        paths=paths,
        authentication=authentication,
        cost=0,
        limits=(),
        global_limits=(),
        forward_limits=False,
        on_store_failure=StoreFailure.LOCAL,
        charges={},
    )


def default_policy() -> Policy:
    """The policy that the image service is delivered with."""
    none = Authentication.NONE
    return Policy(
        digest="0123456789abcdef",
        metrics_prefix="imagen",
        trusted_hops=0,
        body_overhead_bytes=OVERHEAD,
        quota_time_zone="UTC",
        bad_credentials=BAD_CREDENTIALS,
        cors_origins=("https://app.example.com",),
        upstream=Upstream(host="127.0.0.1", port=8080, timeout_ms=60_000),
        tiers={name: tier(name) for name in FILE_LIMITS},
        routes=(
            route(
                "limits",
                ("GET",),
                "/api/v1/images/limits",
                authentication=Authentication.OPTIONAL,
            ),
            route("upscale", ("POST",), "/api/v1/images/upscale"),
            route("job", ("GET", "DELETE"), "/api/v1/jobs/{job_id}"),
            route("job-result", ("GET", "HEAD"), "/api/v1/jobs/{job_id}/result"),
            route("health", ("GET",), "/healthz", "/readyz", authentication=none),
            route(
                "docs",
                ("GET",),
                "/openapi.json",
                "/docs",
                "/docs/{asset}",
                authentication=none,
            ),
        ),
    )


def policy_with(*routes: Route) -> Policy:
    """The default policy with other routes."""
    return replace(default_policy(), routes=routes)


def policy_with_global_limits(*, shadow: bool = False) -> Policy:
    """The default policy, with two limits over all callers on its uploads."""
    policy = default_policy()
    limits = tuple(Rate(name=name, limit=600, window_ms=60_000) for name in ("total", "burst"))
    return replace(
        policy,
        routes=tuple(
            replace(it, global_limits=limits, shadow=shadow) if it.name == "upscale" else it
            for it in policy.routes
        ),
    )


def settings_in(run_dir: Path) -> EnvoySettings:
    """Settings for an Envoy that is rendered, and never started on these ports."""
    return EnvoySettings(
        public_host="127.0.0.1",
        public_port=8000,
        scrape_host="127.0.0.1",
        run_dir=run_dir,
        authz_sockets=(f"{run_dir}/authz-0.sock", f"{run_dir}/authz-1.sock"),
        admin_socket=f"{run_dir}/admin.sock",
    )
