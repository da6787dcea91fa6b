"""What one subject has used, read without counting, and taken back on request."""

from collections.abc import Mapping
from typing import Final, TypeAlias

import structlog

from authz_service.core.limit_headers import seconds
from authz_service.core.meter import Reading
from authz_service.core.rules import Charge, Limit, Overrides, Policy, Rate, Tier
from authz_service.core.usage import limits_of, names_of
from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore

SUBJECT_PREFIXES: Final = ("key:", "jwt:", "anon:")
"""How every subject begins."""

Json: TypeAlias = Mapping[str, str | int]

_log = structlog.get_logger(__name__)


async def read_usage(
    store: CounterStore,
    subject: str,
    *,
    policy: Policy,
    tier: Tier,
    overrides: Overrides | None = None,
) -> tuple[Reading, ...]:
    """What is left of every limit of a subject: none where neither tier nor route has a limit.

    Raises:
        StoreError: the store did not answer.
    """
    charges = tuple(Charge(limit, 1) for limit in limits_of(policy, tier, overrides))
    if not charges:
        return ()
    return (await store.peek(subject, charges)).readings


def chosen_limits(known: tuple[Limit, ...], name: str | None) -> tuple[Limit, ...]:
    """Those of this name, or all of them where there is no name."""
    return tuple(limit for limit in known if name in {None, limit.name})


async def reset_usage(
    store: CounterStore, subject: str, limits: tuple[Limit, ...], *, actor: str
) -> None:
    """Have a subject start anew with these limits, of which there is one at least; says who did it.

    Raises:
        StoreError: the store did not answer; the counters may be gone all the same.
    """
    names = names_of(limits)
    try:
        await store.reset(subject, limits)
    except StoreError:
        _log.error("counters perhaps reset", actor=actor, subject=subject, limits=names)
        raise
    _log.info("counters reset", actor=actor, subject=subject, limits=names)


def usage_as_json(reading: Reading) -> Json:
    """One limit as data, its times in whole seconds."""
    limit = reading.charge.limit
    window: Json = (
        {"kind": "rate", "window_seconds": limit.window_ms // 1000}
        if isinstance(limit, Rate)
        else {"kind": "quota", "period": limit.period.value, "time_zone": limit.zone}
    )
    return {
        "name": limit.name,
        **window,
        "limit": limit.limit,
        "remaining": reading.remaining,
        "reset_seconds": seconds(reading.reset_ms),
    }
