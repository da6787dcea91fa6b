"""Orchestrate the other question: may another request pass under the limits over all callers?"""

from collections.abc import Mapping
from typing import Final, Protocol

from authz_service.core.descriptors import (
    Descriptor,
    DescriptorLimit,
    Entry,
    RateLimitRequest,
    RateLimitResponse,
    Status,
    Unit,
)
from authz_service.core.global_limits import DESCRIPTOR_KEY, DOMAIN
from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Charge, Policy, Rate

SUBJECT: Final = "global"
"""What these limits are counted under: no caller's subject reads so, they all have a prefix."""

_UNITS: Final[Mapping[int, Unit]] = {unit.seconds: unit for unit in Unit}


class Counter(Protocol):
    """Counts charges, and knows what to do when the store behind it fails."""

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], *, once: str | None
    ) -> Metered:
        """Take every charge or none; under one `once`, take them once.

        Raises:
            StoreError: the store failed and one of the charges is to be denied then.
        """


class Questions(Protocol):
    """Answers questions of one kind of domain."""

    async def should_rate_limit(
        self, request: RateLimitRequest, *, request_id: str, once: str | None
    ) -> RateLimitResponse:
        """Count one question and answer it. `request_id` is for the log, and may be empty.

        Questions under one `once` are one question that was sent again.

        Raises:
            UnanswerableError: there is nothing to answer by.
            StoreError: the counters cannot be had, and a limit is one that then refuses.
        """


class Limiter:
    """Answers for the policy's own domain by the policy, for every other by descriptor files."""

    def __init__(self, *, of_policy: Questions, of_files: Questions) -> None:
        self._of_policy = of_policy
        self._of_files = of_files

    async def should_rate_limit(
        self, request: RateLimitRequest, *, request_id: str, once: str | None
    ) -> RateLimitResponse:
        """Count one question and answer it.

        Raises:
            UnanswerableError: there is nothing to answer by.
            StoreError: the counters cannot be had, and a limit is one that then refuses.
        """
        limiter = self._of_policy if request.domain == DOMAIN else self._of_files
        return await limiter.should_rate_limit(request, request_id=request_id, once=once)


class GlobalLimiter:
    """Answers for the limits that routes of a policy put on all callers together."""

    def __init__(self, policy: Policy, counter: Counter) -> None:
        self._charges = _charges(policy)
        self._counter = counter

    def use(self, policy: Policy) -> None:
        """Decide by this policy from the next question on."""
        self._charges = _charges(policy)

    async def should_rate_limit(
        self,
        request: RateLimitRequest,
        *,
        request_id: str,  # noqa: ARG002 - for whoever logs; nothing here does
        once: str | None,
    ) -> RateLimitResponse:
        """Charge all limits that the descriptors name, or none of them.

        A name that the policy does not know limits nothing: for a moment after a reload, Envoy
        goes by another policy than we do.

        Raises:
            StoreError: the store failed and one of the limits is to be denied then.
        """
        asked = [self._charge(descriptor) for descriptor in request.descriptors]
        charges = tuple(dict.fromkeys(charge for charge in asked if charge))
        if not charges:
            return RateLimitResponse(over=False, statuses=(Status(),) * len(asked))
        metered = await self._counter.charge(SUBJECT, charges, once=once)
        readings = {reading.charge.limit.name: reading for reading in metered.readings}
        return RateLimitResponse(
            over=not metered.admitted,
            statuses=tuple(_status(readings.get(it.limit.name) if it else None) for it in asked),
            retry_after_ms=max((it.retry_after_ms for it in metered.readings), default=0),
        )

    def _charge(self, descriptor: Descriptor) -> Charge | None:
        match descriptor.entries:
            case (Entry(key, name),) if key == DESCRIPTOR_KEY:
                return self._charges.get(name)
        return None


def _charges(policy: Policy) -> Mapping[str, Charge]:
    """Each limit by its name; the first route that has it says what an absent store means."""
    charges: dict[str, Charge] = {}
    for route in policy.routes:
        for limit in route.global_limits:
            mode = limit.on_store_failure or route.on_store_failure
            charges.setdefault(limit.name, Charge(limit, 1, mode))
    return charges


def _status(reading: Reading | None) -> Status:
    if reading is None or not isinstance(reading.charge.limit, Rate):
        return Status()
    return Status(
        over=reading.retry_after_ms > 0,
        limit=_told(reading.charge.limit),
        remaining=reading.remaining,
        reset_ms=reading.reset_ms,
    )


def _told(limit: Rate) -> DescriptorLimit:
    """A limit in the terms of the protocol, which has no unit for every window."""
    seconds = limit.window_ms // 1000
    unit = _UNITS.get(seconds)
    return DescriptorLimit(
        requests_per_unit=limit.limit,
        unit=unit or Unit.SECOND,
        multiplier=1 if unit else seconds,
        name=limit.name,
    )
