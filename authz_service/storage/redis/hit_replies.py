"""What a server answered about hits, believed only as far as it makes sense."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from authz_service.core.hits import Count, Hit, is_over, takes, wait_ms
from authz_service.storage.redis.replies import nonsense, read_numbers

_NUMBERS_PER_HIT: Final = 6


@dataclass(frozen=True, slots=True)
class Told:
    """One counter after a hit, and the moment that the hit was counted at."""

    count: Count
    moment_ms: int


def read_hits(reply: object, hits: tuple[Hit, ...], *, only_looked: bool) -> tuple[Told, ...]:
    """Read what the script answered, one for each hit.

    Raises:
        InconclusiveError: a key of these hits holds something that is no counter.
        StoreError: the reply is another error, or nothing the script says about these hits.
    """
    status, *numbers = read_numbers(reply)
    if len(numbers) != _NUMBERS_PER_HIT * len(hits) or status not in (0, 1):
        raise nonsense()
    passes = status == 1
    told = []
    for at, hit in enumerate(hits):
        six = numbers[at * _NUMBERS_PER_HIT : (at + 1) * _NUMBERS_PER_HIT]
        told.append(_told(hit, six, passes=passes, only_looked=only_looked))
    if is_over(hits, [it.count for it in told]) is passes:
        raise nonsense()
    return tuple(told)


def _told(hit: Hit, six: Sequence[int], *, passes: bool, only_looked: bool) -> Told:
    over, remaining, reset_ms, retry_ms, used, moment_ms = six
    is_possible = over in (0, 1) and bool(over) is (retry_ms > 0)
    if (
        not is_possible
        or remaining > hit.limit.limit
        or min(remaining, reset_ms, retry_ms, used) < 0
    ):
        raise nonsense()
    is_taken = takes(hit, over=bool(over), passes=passes)
    count = Count(
        over=bool(over),
        remaining=remaining,
        reset_ms=reset_ms,
        retry_after_ms=wait_ms(hit, retry_ms),
        used_before=used,
        counted=is_taken and not only_looked,
    )
    return Told(count, moment_ms)
