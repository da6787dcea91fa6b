"""Limit headers hold for every reading, and can be parsed by others."""

import re

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.limit_headers import forwarded_limits, limit_headers, seconds
from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Charge, Period
from authz_service.testing.builders import quota, rate

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True)
MILLISECONDS = st.integers(0, 31 * 86_400_000)
LIMITS = st.one_of(
    st.builds(
        lambda name, limit, window: rate(limit, name=name, window_ms=window * 1_000),
        NAMES,
        st.integers(1, 1_000),
        st.integers(1, 31 * 86_400),
    ),
    st.builds(
        lambda name, limit, period: quota(limit, name=name, period=period),
        NAMES,
        st.integers(1, 10**12 - 1),
        st.sampled_from(Period),
    ),
)
READINGS = st.builds(
    Reading,
    st.builds(Charge, LIMITS, st.just(1)),
    st.integers(0, 10**12),
    MILLISECONDS,
    MILLISECONDS,
)
METERED = st.builds(Metered, st.booleans(), st.lists(READINGS, min_size=1, max_size=5).map(tuple))
ITEM = r'"[a-z][a-z0-9-]*"(;[qrwt]=[0-9]{1,15})+'
LIST = re.compile(f"{ITEM}(, {ITEM})*")


@given(METERED)
def test_every_header_is_printable_and_names_every_limit(metered: Metered) -> None:
    """Lists are RFC 9651 lists of strings with integers, one member a limit; the rest counts."""
    told = dict(limit_headers(metered))
    for value in (told["ratelimit"], told["ratelimit-policy"], forwarded_limits(metered)):
        assert LIST.fullmatch(value)
        assert value.count('"') == 2 * len(metered.readings)
    for name in ("limit", "remaining", "reset"):
        assert told[f"x-ratelimit-{name}"].isdigit()


@given(METERED)
def test_the_limit_that_speaks_is_one_of_those_looked_at(metered: Metered) -> None:
    """The three X-RateLimit headers come from one reading, and the right one."""
    told = dict(limit_headers(metered))
    spoken = tuple(int(told[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))
    said = {
        (reading.charge.limit.limit, reading.remaining, seconds(reading.reset_ms))
        for reading in metered.readings
    }
    assert spoken in said
    if metered.admitted:
        assert spoken[1] == min(reading.remaining for reading in metered.readings)


@given(MILLISECONDS)
def test_rounding_up_adds_less_than_a_second(milliseconds: int) -> None:
    """The named seconds are enough and not a whole second too many."""
    assert milliseconds <= seconds(milliseconds) * 1_000 < milliseconds + 1_000
