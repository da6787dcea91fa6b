"""Records in memory: found by their digests, each digest by one record."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.key_digest import Pepper, read_digest
from authz_service.core.rules import Overrides, Period, Rate
from authz_service.identity.key_codec import decode, encode
from authz_service.identity.key_store import StoredKey
from authz_service.identity.key_table import KeyTable
from authz_service.testing.builders import stored_key

IDS, SECRETS = ("a", "b", "c", "d"), (b"secret-1", b"secret-2", b"secret-3")
# A record of an id with a secret, or its end.
steps = st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from([*SECRETS, None])), max_size=30)


def digest_of(key: StoredKey) -> bytes:
    """What a key is found by."""
    return read_digest(key.digest)


def fresh(key: StoredKey) -> StoredKey:
    """The same record of new objects, as it comes from a store."""
    return decode(encode(key))


@given(steps)
def test_a_record_counts_while_no_other_has_its_digest(
    steps: list[tuple[str, bytes | None]],
) -> None:
    """Whatever came before: of two with one digest neither counts, and one that is left does."""
    table, model = KeyTable(), dict[str, StoredKey]()
    for key_id, secret in steps:
        if secret is None:
            table.remove(key_id)
            model.pop(key_id, None)
        else:
            model[key_id] = stored_key(key_id, key=secret)
            table.put(model[key_id], load=1)

    for secret in SECRETS:
        digest = digest_of(stored_key(key=secret))
        owners = [key.id for key in model.values() if digest_of(key) == digest]
        found = table.find(digest)
        assert (found and found.id) == (owners[0] if len(owners) == 1 else None)
        assert table.clashing.issuperset(owners) is (len(owners) != 1) or not owners
    assert sorted(table.ids()) == sorted(model)
    assert len(table) + len(table.clashing) == len(model)


def test_a_record_holds_what_a_check_needs() -> None:
    """Limits and networks of its own are ready to be used."""
    table = KeyTable()
    record = table.put(
        stored_key(
            "one",
            subject="acme",
            tier="pro",
            scopes=("read",),
            expires_at_ms=5,
            disabled=True,
            rate="5 per 10s",
            quota="500/day",
            networks=("10.0.0.0/8",),
        ),
        load=1,
    )
    assert (record.id, record.subject, record.tier) == ("one", "acme", "pro")
    assert (record.scopes, record.expires_at_ms, record.disabled) == (("read",), 5, True)
    assert record.overrides == Overrides(
        rate=Rate(name="per-10s", limit=5, window_ms=10_000), quota=(500, Period.DAY)
    )
    assert [str(network) for network in record.networks] == ["10.0.0.0/8"]


def test_equal_parts_are_one_object() -> None:
    """A million keys have few tiers, scopes and limits, and mostly their own id as subject."""
    table = KeyTable()
    parts = {
        "tier": "pro",
        "scopes": ("read",),
        "rate": "5 per 10s",
        "networks": ("10.0.0.0/8",),
    }
    one, two = (
        table.put(fresh(replace(stored_key(name), **parts)), load=1)  # type: ignore[arg-type]
        for name in ("one", "two")
    )
    assert one.subject is one.id
    assert one.tier is two.tier
    assert one.scopes is two.scopes
    assert one.overrides is two.overrides
    assert one.networks is two.networks


def test_a_record_that_is_loaded_again_brings_no_strings() -> None:
    """Its id and its digest stay the objects that the table is keyed by."""
    table = KeyTable()
    first = table.put(stored_key("one"), load=1)
    again = table.put(fresh(stored_key("one", tier="pro")), load=2)
    assert again.id is first.id
    assert again.digest is first.digest
    assert table.find(first.digest) is again


def test_peppers_are_counted() -> None:
    """So that a pepper which is gone shows as many problems as it has keys."""
    pepper = Pepper(b"p" * 32)
    table = KeyTable()
    table.put(stored_key("one", pepper=pepper), load=1)
    table.put(stored_key("two", pepper=pepper), load=1)
    table.put(stored_key("three"), load=1)
    assert table.under_peppers() == {pepper.id: 2}
    table.put(stored_key("one"), load=1)
    table.remove("two")
    assert table.under_peppers() == {}


def test_a_record_is_not_shown_with_its_digest() -> None:
    """Without a pepper a digest would let others try keys."""
    record = KeyTable().put(stored_key("one"), load=1)
    assert record.digest.hex() not in repr(record)
    assert "digest" not in repr(record)
