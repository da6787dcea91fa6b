"""What holds for all limits of one request together, and between subjects and callers."""

import asyncio

import pytest

from authz_service.core.rules import Charge, Limit
from authz_service.errors import StoreError
from tests.conformance.storage.bench import Bench
from tests.conformance.storage.limits import DAY, MANY, MINUTE, SECOND, ask, quota, rate, told


async def test_limits_are_charged_together(bench: Bench) -> None:
    """One answer holds every limit, in the order asked."""
    answer = await ask(bench, rate(5, MINUTE), quota(9), rate(5_000, MINUTE, "many"))
    assert told(answer) == (True, [(4, MINUTE, 0), (8, DAY, 0), (4_999, MINUTE, 0)])
    assert [reading.charge.limit.name for reading in answer.readings] == ["rate", "quota", "many"]


async def test_buckets_are_charged_with_the_rest_or_not_at_all(bench: Bench) -> None:
    """Whichever of two has no room, the other keeps it, and costs differ."""
    few, many = rate(2, SECOND), rate(9 * MANY, MINUTE, "many")
    assert (await bench.stores[0].charge("key:a", (Charge(few, 1), Charge(many, MANY)))).admitted
    before = bench.contents()
    too_much = (Charge(few, 1), Charge(many, 9 * MANY))
    answer = await bench.stores[0].charge("key:a", too_much)
    assert told(answer) == (False, [(1, SECOND, 0), (8 * MANY, MINUTE, MINUTE)])
    answer = await bench.stores[0].charge("key:a", (Charge(few, 2), Charge(many, MANY)))
    assert told(answer) == (False, [(1, SECOND, SECOND), (8 * MANY, MINUTE, 0)])
    assert bench.contents() == before


@pytest.mark.parametrize("first", ["narrow", "wide"])
async def test_one_limit_that_denies_keeps_all_from_being_charged(bench: Bench, first: str) -> None:
    """Whichever stands first, the limit that would pass is told uncharged and stays so."""
    narrow, wide = rate(1, SECOND, "narrow"), quota(9, name="wide")
    limits: list[Limit] = [narrow, wide] if first == "narrow" else [wide, narrow]
    await ask(bench, *limits)
    before = bench.contents()
    answer = await ask(bench, *limits)
    expected = {"narrow": (0, SECOND, SECOND), "wide": (8, DAY, 0)}
    assert told(answer) == (False, [expected[limit.name] for limit in limits])
    assert bench.contents() == before


async def test_a_limit_with_nothing_counted_resets_in_no_time(bench: Bench) -> None:
    """A denial reports limits that nothing was charged to as full, with nothing to wait for."""
    await ask(bench, rate(1, SECOND, "narrow"))
    answer = await ask(bench, rate(1, SECOND, "narrow"), rate(4, SECOND, "new"), quota(6))
    assert told(answer) == (False, [(0, SECOND, SECOND), (4, 0, 0), (6, 0, 0)])


async def test_charges_of_one_request_may_cost_differently(bench: Bench) -> None:
    """Each limit takes its own cost."""
    charges = (Charge(rate(10, MINUTE), 3), Charge(quota(10), 7))
    answer = await bench.stores[0].charge("key:a", charges)
    assert told(answer) == (True, [(7, MINUTE, 0), (3, DAY, 0)])


@pytest.mark.parametrize("each", [1, MANY], ids=["log", "buckets"])
async def test_a_hundred_callers_at_once_share_a_limit_of_five(bench: Bench, each: int) -> None:
    """Exactly five pass, over all connections."""
    stores = bench.stores
    charges = (Charge(rate(5 * each, MINUTE), each), Charge(quota(50), 1))
    answers = await asyncio.gather(
        *(stores[n % len(stores)].charge("key:a", charges) for n in range(100))
    )
    assert sum(answer.admitted for answer in answers) == 5
    assert sorted(a.readings[1].remaining for a in answers if a.admitted) == [45, 46, 47, 48, 49]


async def test_subjects_limits_and_kinds_are_counted_apart(bench: Bench) -> None:
    """Nothing is shared between two subjects, two names, or limits of one name and two kinds."""
    same: list[Limit] = [rate(1, MINUTE, "x"), quota(1, name="x"), rate(1, MINUTE, "y")]
    same.append(rate(MANY, MINUTE, "x"))
    for subject in ("key:a", "key:a:rate:x", "key:a:buckets:x", "anon:2001:db8::/64"):
        for limit in same:
            cost = limit.limit
            assert (await ask(bench, limit, subject=subject, cost=cost)).admitted, (subject, limit)
            assert not (await ask(bench, limit, subject=subject)).admitted


@pytest.mark.parametrize(
    "subject", ["", "jwt:corp:a b}{", "{}", "%", "\x00\r\n", "ä\u2028🙂", "\ud800", "a" * 4000]
)
async def test_any_text_is_a_subject(bench: Bench, subject: str) -> None:
    """A subject is a name, never syntax: whatever stands in it is counted."""
    assert told(await ask(bench, rate(2, MINUTE), subject=subject))[0]
    assert told(await ask(bench, rate(2, MINUTE), subject=subject)) == (True, [(0, MINUTE, 0)])


async def test_connecting_first_changes_nothing_but_the_first_wait(bench: Bench) -> None:
    """A store may be connected before it is charged, and again at any time."""
    store = bench.stores[0]
    await store.connect()
    assert told(await ask(store, rate(2, MINUTE))) == (True, [(1, MINUTE, 0)])
    await store.connect()
    assert told(await ask(bench.stores[-1], rate(2, MINUTE))) == (True, [(0, MINUTE, 0)])


async def test_a_closed_store_raises(bench: Bench) -> None:
    """After `close` there is no counting, and closing twice is no error."""
    for store in bench.stores:
        await ask(store, rate(1, MINUTE), subject="key:b" + str(id(store)))
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await ask(store, rate(1, MINUTE))
        with pytest.raises(StoreError, match="closed"):
            await store.connect()
