"""What the descriptors of a request take from which counters."""

from collections.abc import Sequence

from authz_service.core.descriptor_key import descriptor_subject
from authz_service.core.descriptors import Algorithm, DescriptorLimit, Resolved
from authz_service.core.hits import Fixed, Hit, Says
from authz_service.core.rules import Rate


def hits_of(
    domain: str, resolved: Sequence[Resolved], *, all_quota: bool
) -> tuple[Hit | None, ...]:
    """A hit for each descriptor that has a counter, in their order; None for the others.

    With `all_quota` every descriptor is one with quota mode.
    """
    may_refuse = _quotas_may_refuse(resolved, all_quota=all_quota)
    return tuple(_hit(domain, it, all_quota=all_quota, may_refuse=may_refuse) for it in resolved)


def _quotas_may_refuse(resolved: Sequence[Resolved], *, all_quota: bool) -> bool:
    """Quotas refuse all together or not at all: one that is never over keeps the others from it."""
    quotas = [it.limit for it in resolved if all_quota or (it.limit and it.limit.quota)]
    return not any(limit is None or limit.shadow for limit in quotas)


def _hit(domain: str, resolved: Resolved, *, all_quota: bool, may_refuse: bool) -> Hit | None:
    limit = resolved.limit
    if limit is None or limit.unit is None:
        return None
    is_quota = all_quota or limit.quota
    says = Says.QUOTA if is_quota else Says.REFUSES
    if limit.shadow or (is_quota and not may_refuse):
        says = Says.SHADOW
    subject = descriptor_subject(domain, resolved.counted_as)
    return Hit(
        subject,
        _window(limit),
        cost=resolved.hits,
        says=says,
        on_store_failure=limit.on_store_failure,
    )


def _window(limit: DescriptorLimit) -> Rate | Fixed:
    """Windows of one length and algorithm are one counter, whatever they allow."""
    kind = Fixed if limit.algorithm is Algorithm.FIXED else Rate
    return kind(
        name=f"{limit.window_s}s",
        limit=limit.requests_per_unit,
        window_ms=limit.window_s * 1000,
    )
