"""The exact names of counters, and that no two counters share one."""

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.counter_key import answer_key, counter_key, counter_keys
from authz_service.core.rules import Charge, Limit, Period, Quota, Rate


def limit(kind: str, name: str) -> Limit:
    """Make a limit of a kind."""
    if kind == "rate":
        return Rate(name=name, limit=1, window_ms=1)
    if kind == "buckets":
        return Rate(name=name, limit=1_001, window_ms=1)
    return Quota(name=name, limit=1, period=Period.DAY, zone="UTC")


def key(subject: str, kind: str, name: str) -> bytes:
    """Return the one key of one limit."""
    [only] = counter_keys(subject, (Charge(limit(kind, name), 1),))
    return only


def hash_tag(key: bytes) -> bytes:
    """Return what Redis Cluster hashes: from the first brace to the first closing one after it."""
    start = key.index(b"{") + 1
    return key[start : key.index(b"}", start)]


def test_keys_are_pinned_byte_by_byte() -> None:
    """A change of these bytes forgets every counter: it needs a new version number."""
    assert key("key:3f2a9c0d1e5b", "rate", "per-minute") == (
        b"authz:{1:key:3f2a9c0d1e5b}:rate:per-minute"
    )
    assert key("anon:2001:db8::/64", "quota", "per-day") == (
        b"authz:{1:anon:2001:db8::/64}:quota:per-day"
    )
    assert key("key:3f2a9c0d1e5b", "buckets", "per-minute") == (
        b"authz:{1:key:3f2a9c0d1e5b}:buckets:per-minute"
    )
    assert key("jwt:corp:a b}{%ä", "rate", "a:b c") == (
        b"authz:{1:jwt:corp:a%20b%7D%7B%25%C3%A4}:rate:a:b%20c"
    )
    assert key("", "rate", "x") == b"authz:{1:}:rate:x"


def test_answer_keys_are_pinned_byte_by_byte() -> None:
    """Every process has to find the answers of the others."""
    charges = (Charge(limit("rate", "per-minute"), 1), Charge(limit("quota", "per-day"), 2))
    assert answer_key("key:3f2a9c0d1e5b", charges, "1234") == (
        b"authz:{1:key:3f2a9c0d1e5b}:once:9a66cf6b53cde235:1234"
    )
    assert answer_key("a}", charges, "a b:}") == (b"authz:{1:a%7D}:once:9a66cf6b53cde235:a%20b:%7D")


TEXT = st.one_of(
    st.text(max_size=8), st.text("ab:{}%/ \n", max_size=6), st.text(st.characters(), max_size=3)
)
PARTS = st.tuples(TEXT, st.sampled_from(["rate", "buckets", "quota"]), TEXT)


@given(PARTS, PARTS)
def test_different_counters_never_share_a_key(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Whatever stands in subjects and names, also what looks like a key."""
    assert (key(*one) == key(*other)) == (one == other)


@given(st.tuples(TEXT, TEXT), st.tuples(TEXT, TEXT), st.integers(1, 2), st.integers(1, 2))
def test_different_questions_never_share_an_answer(
    one: tuple[str, str], other: tuple[str, str], cost: int, other_cost: int
) -> None:
    """Neither a subject nor an id can be chosen so that it meets another one's answer."""
    keys = [
        answer_key(subject, (Charge(limit("rate", "x"), cost),), once)
        for (subject, once), cost in ((one, cost), (other, other_cost))
    ]
    assert (keys[0] == keys[1]) == ((one, cost) == (other, other_cost))


@given(st.text(st.characters(categories=["Cs", "L", "P", "Z"]), max_size=20))
def test_a_subject_is_one_hash_tag(subject: str) -> None:
    """All keys of a subject hash to one slot: the tag is whole, not empty, and the same."""
    charges = (Charge(limit("rate", "a}b"), 1), Charge(limit("quota", "{c}"), 1))
    keys = [*counter_keys(subject, charges), answer_key(subject, charges, "{1}")]
    tags = {hash_tag(key) for key in keys}
    assert len(tags) == 1
    assert tags.pop().startswith(b"1:")


def test_a_thousand_admissions_are_the_last_that_are_counted_one_by_one() -> None:
    """The size of a limit says how it is counted, and so under which name."""
    last, first = (Rate(name="x", limit=limit, window_ms=60_000) for limit in (1_000, 1_001))
    assert counter_key("a", last) == b"authz:{1:a}:rate:x"
    assert counter_key("a", first) == b"authz:{1:a}:buckets:x"


def test_keys_stand_in_the_order_of_the_charges() -> None:
    """One key a charge."""
    charges = tuple(Charge(limit("rate", name), 1) for name in "cab")
    assert [key[-1:] for key in counter_keys("s", charges)] == [b"c", b"a", b"b"]
