"""What nodes and sentinels say of places, read strictly; and the slot of a key."""

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot as slot_by_redis_py

from authz_service.addresses import HostAndPort
from authz_service.core.counter_key import answer_key, counter_key, subject_key
from authz_service.core.rules import Charge, Period, Quota, Rate
from authz_service.errors import StoreError
from authz_service.storage.redis.places import check_primary, read_named_place, read_place
from authz_service.storage.redis.slots import (
    MAX_NODES,
    SLOTS,
    Redirection,
    key_slot,
    read_owners,
    read_redirection,
)

ASKED = HostAndPort("10.0.0.9", 7009)
ONE = HostAndPort("10.0.0.1", 7001)
TWO = HostAndPort("10.0.0.2", 7002)
NODE_ONE = [b"10.0.0.1", 7001, b"id-1", []]
NODE_TWO = [b"10.0.0.2", 7002, b"id-2", [b"hostname", b"two.example"]]


@given(st.one_of(st.binary(), st.text("{}a1").map(str.encode)))
def test_the_slot_of_a_key_is_redis_slot(key: bytes) -> None:
    """Redis-py, which is another's reading of the specification, has the same for any key."""
    assert key_slot(key) == slot_by_redis_py(key)


@given(st.text())
def test_everything_of_a_subject_has_one_slot(subject: str) -> None:
    """Counters of every kind and remembered answers, whatever the subject is called."""
    rate = Rate(name="a", limit=1, window_ms=1_000)
    quota = Quota(name="b", limit=1, period=Period.DAY, zone="UTC")
    keys = [
        subject_key(subject),
        counter_key(subject, rate),
        counter_key(subject, quota),
        answer_key(subject, (Charge(rate, 1),), "once"),
    ]
    assert len(set(map(key_slot, keys))) == 1


def test_a_map_names_the_primary_of_every_slot() -> None:
    """The first node of a range is its primary; slots that nobody serves stay empty."""
    owners = read_owners([[0, 99, NODE_ONE, NODE_TWO], [200, 16_383, NODE_TWO]], ASKED)
    assert owners is not None
    assert len(owners) == SLOTS
    assert [owners[slot] for slot in (0, 99, 100, 199, 200, 16_383)] == [
        ONE, ONE, None, None, TWO, TWO,
    ]  # fmt: skip


@pytest.mark.parametrize("host", [None, b""])
def test_a_host_that_is_left_out_is_the_one_that_was_asked(host: bytes | None) -> None:
    """A node that does not know its address is where it was found."""
    owners = read_owners([[5, 5, [host, 7001, b"id"]]], ASKED)
    assert owners is not None
    assert owners[5] == HostAndPort("10.0.0.9", 7001)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"",
        7,
        [[5, 5, [b"?", 7001, b"id"]]],
        [],
        [7],
        [[]],
        [[0, 5]],
        [[0, 5, None]],
        [[0, 5, [b"h"]]],
        [[0, 5, []]],
        [[b"0", 5, NODE_ONE]],
        [[0, b"5", NODE_ONE]],
        [[0, None, NODE_ONE]],
        [[-1, 5, NODE_ONE]],
        [[6, 5, NODE_ONE]],
        [[0, 16_384, NODE_ONE]],
        [[0, 2**62, NODE_ONE]],
        [[0, 5, [b"h", 0]]],
        [[0, 5, [b"h", 65_536]]],
        [[0, 5, [b"h", b"x"]]],
        [[0, 5, [b"h\nx", 7001]]],
        [[0, 5, [b"h" * 256, 7001]]],
        [[0, 5, [b"\xff", 7001]]],
        [[0, 5, [7, 7001]]],
        [[0, 5, NODE_ONE], [6, 7, [b" ", 1]]],
        [[0, 5, NODE_ONE], [5, 7, NODE_ONE]],
        [[0, SLOTS - 1, NODE_ONE]] * SLOTS,
        [[0, 5, NODE_ONE]] * (SLOTS + 1),
        [[slot, slot, [b"h", slot + 1]] for slot in range(MAX_NODES + 1)],
        hiredis.ReplyError("ERR This instance has cluster support disabled"),
    ],
)
def test_a_map_that_makes_no_sense_is_none(reply: object) -> None:
    """One wrong entry is enough: half a map would send charges astray."""
    assert read_owners(reply, ASKED) is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("MOVED 7 10.0.0.1:7001", ONE),
        ("ASK 7 10.0.0.1:7001", ONE),
        ("MOVED 7 one.example:7001", HostAndPort("one.example", 7001)),
        ("MOVED 7 :7001", HostAndPort("10.0.0.9", 7001)),
        ("MOVED 7 2001:db8::1:7001", HostAndPort("2001:db8::1", 7001)),
        ("MOVED 7 [2001:db8::1]:7001", HostAndPort("2001:db8::1", 7001)),
    ],
)
def test_a_redirection_names_a_place(text: str, place: HostAndPort) -> None:
    """For good or for once; without a host it is that of the node that was asked."""
    found = read_redirection(hiredis.ReplyError(text), slot=7, asked=ASKED)
    assert found == Redirection(place, for_good=text.startswith("MOVED"))


@pytest.mark.parametrize(
    "text",
    [
        "MOVED",
        "MOVED 7",
        "MOVED 8 10.0.0.1:7001",
        "MOVED x 10.0.0.1:7001",
        "MOVED 7 10.0.0.1",
        "MOVED 7 10.0.0.1:",
        "MOVED 7 10.0.0.1:0",
        "MOVED 7 10.0.0.1:65536",
        "MOVED 7 10.0.0.1:99999999999999999999999",
        "MOVED 7 10.0.0.1:7001 and more",
        "MOVED 7 a/b:7001",
        "ASK 7 \u00e4:7001",
    ],
)
def test_a_redirection_to_nowhere_is_a_store_error(text: str) -> None:
    """It is not followed, and not quoted."""
    with pytest.raises(StoreError, match="names nonsense") as caught:
        read_redirection(hiredis.ReplyError(text), slot=7, asked=ASKED)
    assert "10.0" not in str(caught.value)


@pytest.mark.parametrize(
    "reply", [None, 7, [1, 2], b"MOVED 7 h:1", hiredis.ReplyError("TRYAGAIN Multiple keys")]
)
def test_any_other_reply_is_no_redirection(reply: object) -> None:
    """A verdict is one, and so is any other error."""
    assert read_redirection(reply, slot=7, asked=ASKED) is None


def test_a_sentinel_names_a_place_or_nobody() -> None:
    """An address as two words; nothing, an error or anything else is no address."""
    assert read_named_place([b"10.0.0.1", b"7001"]) == ONE
    others = [None, [], [b"h"], [b"h", b"x"], [b"h", b"1", b"2"], [b"", b"1"], b"h", 7]
    for reply in [*others, hiredis.ReplyError("IDONTKNOW"), [None, b"1"], [b"h", "1\u0661"]]:
        assert read_named_place(reply) is None


@given(st.binary(), st.one_of(st.binary(), st.integers()))
def test_any_words_are_a_place_or_none(host: bytes, port: bytes | int) -> None:
    """Nothing is raised, and what is a place can be connected to."""
    place = read_place(host, port)
    assert place is None or (place.host and 0 < place.port < 65_536)


def test_a_primary_says_that_it_is_one() -> None:
    """A replica, a sentinel, an error and nonsense are refused, each as what it is."""
    check_primary([b"master", 0, []])
    for reply in ([b"slave", b"h", 1, b"connected", 5], [b"sentinel", []], [], None, 7, b"master"):
        with pytest.raises(StoreError, match="is no primary"):
            check_primary(reply)
    with pytest.raises(StoreError, match=r"refused ROLE: NOPERM$"):
        check_primary(hiredis.ReplyError("NOPERM User secret has no permissions"))
