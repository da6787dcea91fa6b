"""What a server says about hits is believed only if the script could have said it."""

import hiredis
import pytest

from authz_service.core.hits import Count, Fixed, Hit, Says
from authz_service.core.rules import Rate
from authz_service.errors import StoreError
from authz_service.storage.base import InconclusiveError
from authz_service.storage.redis.hit_replies import Told, read_hits

HITS = (
    Hit("a", Rate(name="x", limit=5, window_ms=1_000)),
    Hit("b", Fixed(name="x", limit=5, window_ms=1_000), 1, Says.SHADOW),
)
GOOD = [1, 0, 4, 1_000, 0, 0, 77, 1, 0, 600, 600, 9, 78]


def test_an_answer_is_read_field_by_field() -> None:
    """In the order of the hits, with the moments that they were counted at."""
    sliding, fixed = read_hits(GOOD, HITS, only_looked=False)
    assert sliding == Told(
        Count(
            over=False, remaining=4, reset_ms=1_000, retry_after_ms=0, used_before=0, counted=True
        ),
        77,
    )
    assert fixed == Told(
        Count(
            over=True, remaining=0, reset_ms=600, retry_after_ms=600, used_before=9, counted=True
        ),
        78,
    )


def test_a_look_counts_nothing() -> None:
    """Whatever would have been counted."""
    assert [it.count.counted for it in read_hits(GOOD, HITS, only_looked=True)] == [False, False]


@pytest.mark.parametrize(
    ("place", "number"),
    [
        (0, 2),  # neither passes nor does not
        (0, 0),  # refused, and nothing that refuses is over
        (1, 2),
        (1, 1),  # over, and nothing to wait for
        (2, 6),  # more left than the limit
        (2, -1),
        (3, -1),
        (4, 7),  # to wait, and not over
        (4, -1),
        (5, -1),
        (7, 0),
    ],
)
def test_numbers_that_contradict_each_other_are_nonsense(place: int, number: int) -> None:
    """One number of a good answer is another."""
    reply = [*GOOD[:place], number, *GOOD[place + 1 :]]
    with pytest.raises(StoreError, match="nonsense"):
        read_hits(reply, HITS, only_looked=False)


@pytest.mark.parametrize("reply", [None, [], [1], GOOD[:-1], [*GOOD, 1], [*GOOD[:-1], b"1"], 1])
def test_anything_else_is_nonsense(reply: object) -> None:
    """Too few, too many, or no numbers."""
    with pytest.raises(StoreError, match="nonsense"):
        read_hits(reply, HITS, only_looked=False)


def test_errors_are_told_apart() -> None:
    """A key that is no counter says nothing of the server."""
    with pytest.raises(InconclusiveError):
        read_hits(hiredis.ReplyError("WRONGTYPE x"), HITS, only_looked=False)
    with pytest.raises(StoreError, match="OOM") as raised:
        read_hits(hiredis.ReplyError("OOM x"), HITS, only_looked=False)
    assert not isinstance(raised.value, InconclusiveError)
