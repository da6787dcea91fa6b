"""Merged data to immutable rules, or every problem at once. Does no I/O."""

from collections.abc import Mapping

from authz_service.core.charges import tier_charges
from authz_service.core.rules import (
    Authentication,
    Policy,
    Route,
    StoreFailure,
    Tier,
    Upstream,
)
from authz_service.errors import ConfigurationError
from authz_service.policy import limits
from authz_service.policy.check import check_meaning
from authz_service.policy.merge import Merged
from authz_service.policy.providers import provider
from authz_service.policy.schema import PolicyFile, RoutePart
from authz_service.policy.shape import check_shape

_DEFAULT_COST = 1


def compile_policy(merged: Merged) -> Policy:
    """The policy the files describe.

    Raises:
        ConfigurationError: with every problem of every file.
    """
    file = None
    if merged.is_mapping:  # else every key would be reported as missing
        file = check_shape(merged)
        check_meaning(merged)
    if merged.problems or file is None:
        raise ConfigurationError([str(problem) for problem in merged.problems])
    tiers = {
        name: limits.tier(name, part, file.quota_time_zone) for name, part in file.tiers.items()
    }
    host, port = file.upstream.address
    return Policy(
        digest=merged.digest,
        metrics_prefix=file.metrics_prefix,
        trusted_hops=file.trusted_hops,
        body_overhead_bytes=file.body_overhead,
        cors_origins=tuple(file.cors.origins),
        quota_time_zone=file.quota_time_zone,
        bad_credentials=limits.bad_credentials(file.bad_credentials),
        upstream=Upstream(host=host, port=port, timeout_ms=file.upstream.timeout),
        tiers=tiers,
        routes=tuple(_route(part, file, tiers) for part in file.routes),
        providers=tuple(map(provider, file.jwt)),
    )


def _route(part: RoutePart, file: PolicyFile, tiers: Mapping[str, Tier]) -> Route:
    authentication = Authentication(part.authentication or file.defaults.authentication)
    cost = _DEFAULT_COST if part.cost is None else part.cost
    own = tuple(limits.route_limit(limit) for limit in part.limits)
    if authentication is Authentication.NONE:
        cost = 0
    on_store_failure = StoreFailure(part.on_store_failure or file.defaults.on_store_failure)
    charges = {
        name: tier_charges(tier, cost, own, on_store_failure) for name, tier in tiers.items()
    }
    return Route(
        name=part.name,
        methods=tuple(part.match.method),
        paths=tuple(part.match.path),
        authentication=authentication,
        cost=cost,
        limits=own,
        global_limits=tuple(limits.route_limit(limit) for limit in part.global_limits),
        forward_limits=part.forward_limits,
        tiers=tuple(part.tiers),
        scopes=tuple(part.scopes),
        credentials=tuple(part.credentials),
        shadow=_is_in_shadow(part, file, authentication),
        on_store_failure=on_store_failure,
        charges=charges,
    )


def _is_in_shadow(part: RoutePart, file: PolicyFile, authentication: Authentication) -> bool:
    """Where nobody is asked for anything, nothing is decided and there is nothing to shadow."""
    said = file.defaults.shadow if part.shadow is None else part.shadow
    return said and authentication is not Authentication.NONE
