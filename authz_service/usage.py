"""What one subject has used, read without counting, and taken back on request."""

from collections.abc import Mapping
from typing import Final, TypeAlias

import structlog

from authz_service.core.hits import Fixed
from authz_service.core.limit_headers import seconds
from authz_service.core.meter import Reading
from authz_service.core.rules import Charge, Limit, Rate
from authz_service.core.usage import names_of
from authz_service.errors import StoreError
from authz_service.limiter import SUBJECT
from authz_service.storage.base import CounterStore

SUBJECT_PREFIXES: Final = ("key:", "jwt:", "anon:")
"""How every caller's subject begins."""

OVER_ALL: Final = SUBJECT
"""The subject of the limits over all callers."""

Json: TypeAlias = Mapping[str, str | int]

_log = structlog.get_logger(__name__)


async def read_usage(
    store: CounterStore, subject: str, limits: tuple[Limit, ...]
) -> tuple[Reading, ...]:
    """What is left of these limits of a subject.

    Raises:
        StoreError: the store did not answer.
    """
    charges = tuple(Charge(limit, 1) for limit in limits)
    if not charges:
        return ()
    return (await store.peek(subject, charges)).readings


def is_subject(text: str) -> bool:
    """Whether somebody may be counted under this name: a caller, or all of them together."""
    return text == OVER_ALL or text.startswith(SUBJECT_PREFIXES)


def chosen_limits(known: tuple[Limit, ...], name: str | None) -> tuple[Limit, ...]:
    """Those of this name, or all of them where there is no name."""
    return tuple(limit for limit in known if name in {None, limit.name})


async def reset_usage(
    store: CounterStore, subject: str, limits: tuple[Limit | Fixed, ...], *, actor: str
) -> None:
    """Have a subject start anew with these limits, of which there is one at least; says who did it.

    Raises:
        StoreError: the store did not answer; the counters may be gone all the same.
    """
    names = names_of(limits)
    try:
        # Stores name the counters of fixed windows like those of any limit.
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
