"""API keys as values: the form of our own, and what else is accepted."""

from collections.abc import Callable
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.api_key import is_acceptable, is_ours, make_key
from authz_service.core.credential import Malformed, present
from authz_service.core.verdict import Reason
from authz_service.testing.builders import facts

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The checksum is CRC-32/ISO-HDLC of all before it: 0x74e15eeb is 28hqg7 in base 62.
KNOWN = "sk_live_" + BASE62[:32] + "_28hqg7"


def source(*values: int) -> Callable[[int], bytes]:
    """Bytes that repeat these values."""
    repeated = cycle(values)
    return lambda count: bytes(next(repeated) for _ in range(count))


@st.composite
def keys(draw: st.DrawFn) -> bytes:
    """Keys of ours."""
    environment = draw(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12))
    random = draw(st.lists(st.integers(0, 247), min_size=32, max_size=32))
    return make_key(environment, random_bytes=source(*random)).encode()


def test_a_key_is_made_of_its_environment_random_digits_and_a_checksum() -> None:
    """The same bytes make the same key, to the character."""
    assert make_key("live", random_bytes=source(*range(32))) == KNOWN


@given(keys())
def test_what_is_made_is_accepted(key: bytes) -> None:
    """Every key of ours has our form and may be presented."""
    assert is_ours(key)
    assert is_acceptable(key)


def test_no_digit_is_more_likely_than_another() -> None:
    """Of all byte values each digit takes four; the eight left over are drawn again."""
    key = make_key("x", random_bytes=source(*range(256)))
    assert key[5:37] == BASE62[:32]
    made = [make_key("x", random_bytes=source(*([value] * 32 + [0])))[5] for value in range(248)]
    assert {digit: made.count(digit) for digit in BASE62} == dict.fromkeys(BASE62, 4)
    for value in range(248, 256):
        assert make_key("x", random_bytes=source(value, 1))[5:37] == "1" * 32


@pytest.mark.parametrize("environment", ["", "a" * 13, "Live", "li_ve", "li-ve", "lïve", "live\n"])
def test_an_environment_is_short_and_plain(environment: str) -> None:
    """It stands in every key, so it can hold nothing that needs interpreting."""
    with pytest.raises(ValueError, match="must be 1 to 12 of a-z and 0-9"):
        make_key(environment, random_bytes=source(0))


@given(keys(), st.data())
def test_a_single_wrong_character_is_noticed(key: bytes, data: st.DataObject) -> None:
    """Whatever stands in its place; only another prefix makes it a stranger's key."""
    place = data.draw(st.integers(0, len(key) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != key[place]))
    changed = key[:place] + bytes([byte]) + key[place + 1 :]
    assert not is_ours(changed)
    if changed.startswith(b"sk_"):
        assert not is_acceptable(changed)


@given(keys(), st.data())
def test_a_cut_off_key_is_noticed(key: bytes, data: st.DataObject) -> None:
    """However much of it is left."""
    cut = key[: data.draw(st.integers(3, len(key) - 1))]
    assert not is_ours(cut)
    assert not is_acceptable(cut)


@given(keys(), st.binary(min_size=1, max_size=40))
def test_a_lengthened_key_is_noticed(key: bytes, more: bytes) -> None:
    """Whatever was added, another whole key included."""
    for longer in (key + more, key + key, key[:8] + more[:1] + key[8:]):
        assert not is_ours(longer)
        assert not is_acceptable(longer)


@given(keys())
def test_two_neighbours_swapped_are_noticed(key: bytes) -> None:
    """The commonest slip of the hand after a wrong character."""
    for place in range(3, len(key) - 1):
        swapped = key[:place] + key[place : place + 2][::-1] + key[place + 2 :]
        assert swapped == key or not is_acceptable(swapped)


@pytest.mark.parametrize("key", [b"sk_", b"sk_12345678", b"sk_live_" + b"a" * 39, KNOWN[:-1] + "G"])
def test_a_malformed_key_of_ours_is_refused_before_any_look_up(key: bytes | str) -> None:
    """The credential stage says malformed, so nothing is ever asked for it."""
    value = key.encode() if isinstance(key, str) else key
    assert present(facts(api_keys=(value,))) == Malformed(Reason.MALFORMED_CREDENTIAL)


def test_exactly_the_visible_characters_without_comma_make_a_key() -> None:
    """Of all bytes, the 93 visible ASCII characters other than the comma are acceptable."""
    accepted = bytes(byte for byte in range(256) if is_acceptable(bytes([byte]) * 8))
    assert accepted == bytes(byte for byte in range(0x21, 0x7F) if byte != ord(","))


def test_a_key_has_8_to_256_characters() -> None:
    """Shorter keys could be guessed and longer ones are no keys."""
    assert [is_acceptable(b"k" * length) for length in (0, 7, 8, 256, 257)] == [
        False,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("key", [b"sk-prod-key", b"SK_prod_key", b"ask_prod_key", b"skprod_key"])
def test_keys_of_others_stay_accepted(key: bytes) -> None:
    """Only what begins with sk_ claims to be ours."""
    assert is_acceptable(key)
    assert not is_ours(key)


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(key: bytes) -> None:
    """There is an answer for everything, and our form is always acceptable."""
    assert is_acceptable(key) >= is_ours(key)
