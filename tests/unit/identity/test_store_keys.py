"""The keys of a store in memory: what is newer, what counts, and for how long."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.key_digest import Pepper, digest, digests
from authz_service.core.verdict import Reason
from authz_service.identity.key_changes import Version
from authz_service.identity.key_codec import decode, encode
from authz_service.identity.key_index import KeyIndex
from authz_service.identity.key_store import StoredKey
from authz_service.identity.store_keys import StoreKeys
from authz_service.testing.builders import key_record, stored_key
from authz_service.testing.clock import ManualClock

PEPPER = Pepper(b"p" * 32)
MAX_STALE_MS = 600_000
UNAVAILABLE, UNKNOWN = Reason.KEY_STORE_UNAVAILABLE, Reason.UNKNOWN_KEY


@pytest.fixture
def clock() -> ManualClock:
    """The time."""
    return ManualClock()


@pytest.fixture
def keys(clock: ManualClock) -> StoreKeys:
    """A store that was loaded empty."""
    return loaded(clock)


def loaded(clock: ManualClock, *versions: Version, configured: KeyIndex | None = None) -> StoreKeys:
    """A store that was loaded with these records."""
    keys = StoreKeys(configured or KeyIndex({}), clock=clock, max_stale_ms=MAX_STALE_MS)
    load(keys, *versions)
    keys.confirm()
    return keys


def load(keys: StoreKeys, *versions: Version, generation: int = 100) -> None:
    """Load these records, and nothing changes meanwhile."""
    keys.begin_load(generation)
    for version in versions:
        keys.take(version)
    keys.drop_unseen(keys.held_before())
    keys.end_load()


def version(generation: int, key: StoredKey) -> Version:
    """A record as a change left it."""
    return Version(key.id, generation, encode(key))


def gone(generation: int, key_id: str) -> Version:
    """A deletion."""
    return Version(key_id, generation, None)


def found(keys: StoreKeys, key_id: str, peppers: Sequence[Pepper] = ()) -> ApiKeyRecord | Reason:
    """What is said of the secret that belongs to an id."""
    return keys.find(digests(f"secret-of-{key_id}".encode(), peppers))


def tier(keys: StoreKeys, key_id: str = "one") -> str:
    """The tier of the key of an id, or the reason there is none."""
    record = found(keys, key_id)
    return record.value if isinstance(record, Reason) else record.tier


def test_before_the_first_load_nothing_is_said(clock: ManualClock) -> None:
    """A key that is not held yet may be in the store."""
    keys = StoreKeys(KeyIndex({}), clock=clock, max_stale_ms=MAX_STALE_MS)
    assert found(keys, "one") is UNAVAILABLE
    keys.begin_load(1)
    keys.take(version(1, stored_key("one")))
    assert found(keys, "one") is UNAVAILABLE


def test_what_was_loaded_is_found(clock: ManualClock) -> None:
    """And what was not is unknown."""
    keys = loaded(clock, version(1, stored_key("one", subject="acme")))
    record = found(keys, "one")
    assert isinstance(record, ApiKeyRecord)
    assert record.subject == "acme"
    assert found(keys, "two") is UNKNOWN
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("silence_ms", "known", "unknown"),
    [
        (0, "free", UNKNOWN),
        (1_500, "free", UNKNOWN),
        (1_501, "free", UNAVAILABLE),
        (MAX_STALE_MS, "free", UNAVAILABLE),
        (MAX_STALE_MS + 1, UNAVAILABLE.value, UNAVAILABLE),
    ],
)
def test_how_long_a_silent_store_is_relied_on(
    clock: ManualClock, silence_ms: int, known: str, unknown: Reason
) -> None:
    """An unknown key for a second and a half, a known one for as long as was configured."""
    keys = loaded(clock, version(1, stored_key("one")))
    clock.advance(silence_ms)
    assert tier(keys) == known
    assert found(keys, "two") is unknown
    keys.confirm()
    assert tier(keys) == "free"
    assert found(keys, "two") is UNKNOWN


def test_the_wall_clock_decides_nothing(clock: ManualClock) -> None:
    """A time server that sets it back makes nothing fresh or stale."""
    keys = loaded(clock, version(1, stored_key("one")))
    clock.step_back(86_400_000)
    assert found(keys, "two") is UNKNOWN
    clock.advance(1_501)
    assert found(keys, "two") is UNAVAILABLE


def test_after_a_missed_change_no_unknown_key_is_refused(keys: StoreKeys) -> None:
    """It may be the one that was missed."""
    assert found(keys, "one") is UNKNOWN
    keys.fell_behind()
    assert found(keys, "one") is UNAVAILABLE
    keys.confirm()
    assert found(keys, "one") is UNKNOWN


def test_changes_are_taken_as_they_come(keys: StoreKeys) -> None:
    """A new key, another tier, the end."""
    keys.take(version(101, stored_key("one")))
    assert tier(keys) == "free"
    keys.take(version(102, stored_key("one", tier="pro")))
    assert tier(keys) == "pro"
    keys.take(gone(103, "one"))
    assert found(keys, "one") is UNKNOWN
    keys.take(gone(104, "never-there"))


def test_a_new_digest_ends_the_old_one(keys: StoreKeys) -> None:
    """The key that had it is no key any more."""
    keys.take(version(101, stored_key("one")))
    keys.take(version(102, stored_key("one", key=b"secret-of-two")))
    assert found(keys, "one") is UNKNOWN
    assert isinstance(found(keys, "two"), ApiKeyRecord)


def test_a_revoked_key_never_comes_back_during_a_load(keys: StoreKeys) -> None:
    """A page that was read before the revocation may arrive after it."""
    one = stored_key("one")
    keys.take(version(50, one))
    keys.begin_load(100)
    keys.take(gone(101, "one"))
    keys.take(version(50, one))
    assert found(keys, "one") is UNKNOWN
    keys.take(version(100, one))
    keys.drop_unseen(keys.held_before())
    keys.end_load()
    assert found(keys, "one") is UNKNOWN


def test_a_change_never_undoes_a_newer_page(keys: StoreKeys) -> None:
    """A page may be ahead of the changes that are read after it."""
    keys.begin_load(100)
    keys.take(version(103, stored_key("one", disabled=True)))
    for older in (version(101, stored_key("one")), version(102, stored_key("one", tier="pro"))):
        keys.take(older)
        record = found(keys, "one")
        assert isinstance(record, ApiKeyRecord)
        assert record.disabled
    keys.take(version(104, stored_key("one", tier="pro")))
    assert tier(keys) == "pro"


@st.composite
def loads(draw: st.DrawFn) -> list[Version]:
    """The changes of one id in their order, and among them a page that shows any state of it."""
    states = draw(st.lists(st.sampled_from(["free", "pro", None]), min_size=1, max_size=5))
    changes = [
        gone(generation, "one")
        if state is None
        else version(generation, stored_key("one", tier=state))
        for generation, state in enumerate(states, start=101)
    ]
    shown = draw(st.sampled_from([BEFORE, *[it for it in changes if it.text is not None]]))
    place = draw(st.integers(0, len(changes)))
    return [*changes[:place], shown, *changes[place:]]


BEFORE = version(7, stored_key("one", tier="old"))


@given(loads())
def test_nothing_older_takes_the_place_of_something_newer(versions: list[Version]) -> None:
    """Wherever a page comes among the changes, and however old or new its record is."""
    keys = loaded(ManualClock(), BEFORE)
    keys.begin_load(100)
    newest = 7
    for each in versions:
        before = found(keys, "one")
        keys.take(each)
        if each.generation <= newest:
            assert found(keys, "one") == before or each == BEFORE
        newest = max(newest, each.generation)
    keys.drop_unseen(keys.held_before())
    keys.end_load()
    last = max(versions, key=lambda it: it.generation).text
    assert tier(keys) == (UNKNOWN.value if last is None else decode(last).tier)


def test_what_a_load_does_not_meet_is_forgotten(clock: ManualClock) -> None:
    """Also where the store went back in time, as after a restored backup."""
    keys = loaded(
        clock,
        version(50, stored_key("one")),
        version(60, stored_key("two")),
        version(70, stored_key("three", tier="pro")),
    )
    load(keys, version(3, stored_key("two")), version(2, stored_key("three")), generation=3)
    assert found(keys, "one") is UNKNOWN
    assert (tier(keys, "two"), tier(keys, "three")) == ("free", "free")


def test_while_a_load_goes_on_known_keys_do(clock: ManualClock) -> None:
    """They are dropped at its end, not at its beginning."""
    keys = loaded(clock, version(1, stored_key("one")), version(2, stored_key("two")))
    keys.begin_load(100)
    assert tier(keys) == "free"
    keys.take(version(3, stored_key("two")))
    keys.drop_unseen(keys.held_before())
    assert found(keys, "one") is UNKNOWN
    assert isinstance(found(keys, "two"), ApiKeyRecord)


def test_a_load_that_broke_off_is_made_good_by_the_next(clock: ManualClock) -> None:
    """What only the first one met is gone as well."""
    keys = StoreKeys(KeyIndex({}), clock=clock, max_stale_ms=MAX_STALE_MS)
    keys.begin_load(100)
    keys.take(version(1, stored_key("one")))
    load(keys, version(2, stored_key("two")))
    keys.confirm()
    assert found(keys, "one") is UNKNOWN
    assert isinstance(found(keys, "two"), ApiKeyRecord)


@pytest.mark.parametrize(
    "text", [b"", b"nonsense", b'{"id":"canary"}', encode(stored_key("other")), b"\xff canary"]
)
def test_a_record_that_makes_no_sense_does_not_count(keys: StoreKeys, text: bytes) -> None:
    """Nor does what stood in its place before; it is told once, by its id, and never quoted."""
    keys.take(version(101, stored_key("one")))
    with capture_logs() as logs:
        keys.take(Version("one", 102, text))
        keys.take(Version("one", 103, text))
    assert found(keys, "one") is UNKNOWN
    assert keys.problems == 1
    (line,) = logs
    assert (line["key_id"], line["log_level"]) == ("one", "error")
    assert "canary" not in str(line)
    keys.take(version(104, stored_key("one")))
    assert keys.problems == 0
    assert tier(keys) == "free"


def test_a_problem_ends_with_its_record(keys: StoreKeys) -> None:
    """By its deletion, and by a load that does not meet it."""
    for end in ([gone(105, "one")], []):
        keys.take(Version("one", 104, b"nonsense"))
        assert keys.problems == 1
        load(keys, *end)
        assert keys.problems == 0
    keys.take(Version("one", 106, b"nonsense"))
    keys.take(gone(107, "one"))
    assert keys.problems == 0


def test_of_two_records_with_one_digest_neither_counts(keys: StoreKeys) -> None:
    """Which one is meant would be a guess; with one of them gone the other one counts."""
    with capture_logs() as logs:
        keys.take(version(101, stored_key("one")))
        keys.take(version(102, stored_key("two", key=b"secret-of-one")))
    assert found(keys, "one") is UNKNOWN
    assert (keys.problems, len(keys)) == (2, 0)
    assert [line["key_id"] for line in logs] == ["two"]
    keys.take(gone(103, "one"))
    record = found(keys, "one")
    assert isinstance(record, ApiKeyRecord)
    assert record.id == "two"
    assert keys.problems == 0


def test_no_store_takes_the_digest_of_a_configured_key(clock: ManualClock) -> None:
    """The configuration comes first, and the record that tries is told; so after a reload."""
    configured = KeyIndex({digest(b"secret-of-one"): key_record("configured")})
    with capture_logs() as logs:
        keys = loaded(clock, version(1, stored_key("one")), configured=configured)
        index = configured.beside(keys)
        keys.take(version(101, stored_key("two")))
        assert keys.problems == 1
        both = KeyIndex(
            {digest(b"secret-of-two"): key_record(), digest(b"secret-of-one"): key_record()}
        )
        keys.configure(both)
    assert index.find(b"secret-of-one") == key_record("configured")
    assert keys.problems == 2
    assert [line["key_id"] for line in logs] == ["one", "two"]
    keys.take(version(102, stored_key("two", key=b"secret-of-three")))
    assert keys.problems == 1
    keys.configure(KeyIndex({}))
    assert keys.problems == 0
    assert isinstance(KeyIndex({}).beside(keys).find(b"secret-of-one"), ApiKeyRecord)


def test_records_under_a_pepper_wait_for_it(clock: ManualClock) -> None:
    """They are told once a pepper, and found as soon as the file holds it."""
    with capture_logs() as logs:
        keys = loaded(
            clock,
            version(1, stored_key("one", pepper=PEPPER)),
            version(2, stored_key("two", pepper=PEPPER)),
        )
    assert keys.problems == 2
    assert [line["problem"] for line in logs] == [
        f"was made under the pepper {PEPPER.id}, which AUTHZ_PEPPER_FILE does not hold"
    ]
    configured = KeyIndex({}, peppers=[PEPPER])
    keys.configure(configured)
    assert keys.problems == 0
    assert isinstance(configured.beside(keys).find(b"secret-of-one"), ApiKeyRecord)


def test_a_store_full_of_nonsense_does_not_fill_the_log(keys: StoreKeys) -> None:
    """A thousand lines are enough; the metric says how many there are."""
    with capture_logs() as logs:
        for number in range(1_200):
            keys.take(Version(f"key-{number}" + "x" * 500, 101 + number, b""))
    assert len(logs) == 1_000
    assert max(len(line["key_id"]) for line in logs) == 128
    assert keys.problems == 1_200


def test_a_use_is_noted_with_its_moment(clock: ManualClock) -> None:
    """The latest one, until it is asked for."""
    keys = loaded(clock, version(1, stored_key("one")), version(2, stored_key("two")))
    found(keys, "one")
    clock.advance(500)
    found(keys, "one")
    found(keys, "unknown")
    assert keys.take_uses() == {"one": clock.now_ms()}
    assert keys.take_uses() == {}


def test_what_opens_nothing_is_no_use(clock: ManualClock) -> None:
    """A disabled key, one that has expired, and one that was deleted since."""
    now_ms = clock.now_ms()
    keys = loaded(
        clock,
        version(1, stored_key("disabled", disabled=True)),
        version(2, stored_key("expired", expires_at_ms=now_ms)),
        version(3, stored_key("expiring", expires_at_ms=now_ms + 1)),
        version(4, stored_key("deleted")),
    )
    for key_id in ("disabled", "expired", "expiring", "deleted"):
        assert isinstance(found(keys, key_id), ApiKeyRecord)
    keys.take(gone(101, "deleted"))
    uses = keys.take_uses()
    assert {key_id: at for key_id, at in uses.items() if keys.holds(key_id)} == {"expiring": now_ms}
