"""Moments and spans: whatever is written, it is read rightly or refused."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.identity.moments import moment, span, spell_moment, spell_span

NOW_MS = 1_900_000_000_000
END = datetime(9999, 12, 30)  # noqa: DTZ001 - strategies want it so
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """ValueError is the only error there is, and its sentence does not repeat the text."""
    for read in (span, lambda it: moment(it, now_ms=NOW_MS)):
        try:
            read(text)
        except ValueError as error:
            assert len(text) < 20 or text not in str(error)  # noqa: PT017


@given(st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?([+-][0-9:]{5}|Z)"))
def test_any_text_that_looks_like_a_moment_is_read_or_refused(text: str) -> None:
    """Months of forty days and offsets of ninety hours included."""
    try:
        at_ms = moment(text, now_ms=NOW_MS)
    except ValueError:
        return
    assert 0 <= at_ms < 253_402_300_800_000


@given(st.datetimes(datetime(1970, 1, 2), END, timezones=OFFSETS))  # noqa: DTZ001
def test_a_moment_is_what_it_says(at: datetime) -> None:
    """In whatever offset it is written, to the millisecond."""
    at_ms = moment(at.isoformat(timespec="milliseconds"), now_ms=NOW_MS)
    assert at_ms == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(st.integers(0, 253_402_200_000_000))
def test_a_moment_that_is_spelt_is_read_back(at_ms: int) -> None:
    """Nothing is lost on paper."""
    assert moment(spell_moment(at_ms), now_ms=NOW_MS) == at_ms


@given(st.integers(0, 10_000))
def test_a_span_begins_now(days: int) -> None:
    """As a moment, it ends that much later."""
    assert moment(f"{days}d", now_ms=NOW_MS) == NOW_MS + days * 86_400_000


@given(st.integers(0, 10**14))
def test_a_span_in_words_is_never_longer_than_it_is(span_ms: int) -> None:
    """Rounded down, in a unit that a person can take in."""
    said_ms = span(spell_span(min(span_ms, 999_999 * 86_400_000)))
    assert said_ms <= span_ms
    assert span_ms - said_ms < 86_400_000 or span_ms > 999_999 * 86_400_000


@pytest.mark.parametrize(
    ("span_ms", "words"),
    [(0, "0s"), (999, "0s"), (59_999, "59s"), (60_000, "1m"), (7_199_000, "1h"), (10**9, "11d")],
)
def test_a_span_is_told_in_its_largest_unit(span_ms: int, words: str) -> None:
    """For eyes, not for sums."""
    assert spell_span(span_ms) == words
