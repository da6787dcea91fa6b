"""How large a request body may be: the caller's tier says it, Envoy enforces it."""

from collections.abc import Iterable

from authz_service.core.rules import Policy, Tier
from authz_service.envoyconf.ext_authz import FILTER as EXT_AUTHZ
from authz_service.envoyconf.model import Json, Object, extension, typed

FILTER = "body_limit"


def no_body_limit() -> Object:
    """A route's own settings: bodies of any size, where nothing is to be refused."""
    return {FILTER: typed("envoy.config.route.v3.FilterConfig", disabled=True)}


def body_limit(policy: Policy) -> Object:
    """The filter: one limit a tier, streamed, nothing held back.

    It reads the tier from the authorizer's metadata and never from a header, which a client could
    have sent. A request without a tier (`authentication: none`) has the smallest limit.
    """
    return extension(
        FILTER,
        "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        extension_config=extension(
            "composite", "envoy.extensions.filters.http.composite.v3.Composite"
        ),
        xds_matcher={
            "matcher_list": {"matchers": [_for_tier(policy, tier) for tier in _tiers(policy)]},
            "on_no_match": _at_most(policy, min(_tiers(policy), key=_largest_file)),
        },
    )


def _tiers(policy: Policy) -> Iterable[Tier]:
    return policy.tiers.values()


def _largest_file(tier: Tier) -> int:
    return tier.max_upload_bytes


def _for_tier(policy: Policy, tier: Tier) -> Object:
    return {
        "predicate": {
            "single_predicate": {
                "input": extension(
                    "tier",
                    "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput",
                    filter=EXT_AUTHZ,
                    path=[{"key": "tier"}],
                ),
                "custom_match": extension(
                    "tier",
                    "envoy.extensions.matching.input_matchers.metadata.v3.Metadata",
                    value={"string_match": {"exact": tier.name}},
                ),
            }
        },
        "on_match": _at_most(policy, tier),
    }


def _at_most(policy: Policy, tier: Tier) -> Object:
    """A multipart body is the file plus its boundaries and the other fields."""
    maximum: Json = tier.max_upload_bytes + policy.body_overhead_bytes
    limit = extension(
        "limit",
        "envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit",
        max_request_bytes=maximum,
    )
    return {
        "action": extension(
            "limit",
            "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction",
            typed_config=limit,
        )
    }
