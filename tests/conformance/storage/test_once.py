"""Charges under one id: the first admission is remembered for two seconds and told again."""

import asyncio
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.core.meter import REMEMBERED_MS
from tests.conformance.storage.bench import Bench
from tests.conformance.storage.limits import DAY, MINUTE, SECOND, ask, quota, rate, told

subjects = itertools.count()


async def test_the_same_id_is_charged_once(bench: Bench) -> None:
    """The second call gets the first one's answer, and nothing that is stored changes."""
    limits = rate(5, MINUTE), quota(9), rate(5_000, MINUTE)
    first = await ask(bench, *limits, cost=2, once="1")
    before = bench.contents()
    assert await ask(bench, *limits, cost=2, once="1") == first
    assert told(first) == (True, [(3, MINUTE, 0), (7, DAY, 0), (4_998, MINUTE, 0)])
    assert bench.contents() == before


async def test_any_caller_gets_the_remembered_answer(bench: Bench) -> None:
    """Whichever process is asked the second time, one charge is taken."""
    answers = [await ask(store, rate(5, MINUTE), once="1") for store in bench.stores]
    assert {answer.readings[0].remaining for answer in answers} == {4}


async def test_callers_with_one_id_at_once_are_charged_once(bench: Bench) -> None:
    """Twenty calls that overlap take one place together."""
    stores = bench.stores
    answers = await asyncio.gather(
        *(ask(stores[n % len(stores)], rate(5, MINUTE), once="1") for n in range(20))
    )
    assert {answer.readings[0].remaining for answer in answers} == {4}


async def test_another_id_is_another_request(bench: Bench) -> None:
    """Ids are compared whole: neither a beginning nor a separator makes two of them one."""
    ids = ["1", "11", "1:1", ":1", "1 ", "}", "ä", "1" * 64]
    left = [(await ask(bench, rate(9, MINUTE), once=once)).readings[0].remaining for once in ids]
    assert left == [8, 7, 6, 5, 4, 3, 2, 1]


async def test_calls_without_an_id_are_all_charged(bench: Bench) -> None:
    """There is nothing to know them again by."""
    left = [(await ask(bench, rate(5, MINUTE))).readings[0].remaining for _ in range(3)]
    assert left == [4, 3, 2]


async def test_an_answer_is_remembered_for_two_seconds(bench: Bench) -> None:
    """A millisecond before the end it still stands in for a charge; at the end it does not."""
    limit = rate(5, MINUTE)
    await ask(bench, limit, once="1")
    bench.clock.advance(REMEMBERED_MS - 1)
    assert (await ask(bench, limit, once="1")).readings[0].remaining == 4
    bench.clock.advance(1)
    assert (await ask(bench, limit, once="1")).readings[0].remaining == 3


async def test_telling_an_answer_again_does_not_prolong_it(bench: Bench) -> None:
    """Two seconds count from the admission."""
    limit = rate(5, MINUTE)
    for _ in range(3):
        assert (await ask(bench, limit, once="1")).readings[0].remaining == 4
        bench.clock.advance(REMEMBERED_MS // 2 - 300)
    assert (await ask(bench, limit, once="1")).readings[0].remaining == 3


async def test_a_remembered_answer_tells_resets_as_of_now(bench: Bench) -> None:
    """The time since the admission is taken off; a reset that has passed is 0."""
    limits = rate(5, SECOND), quota(9)
    await ask(bench, *limits, once="1")
    bench.clock.advance(400)
    assert told(await ask(bench, *limits, once="1")) == (True, [(4, 600, 0), (8, DAY - 400, 0)])
    bench.clock.advance(1_100)
    assert told(await ask(bench, *limits, once="1")) == (True, [(4, 0, 0), (8, DAY - 1_500, 0)])


async def test_a_remembered_answer_outlives_the_room_it_took(bench: Bench) -> None:
    """The request that took the last place is not refused for it when it is asked about again."""
    limit = rate(1, MINUTE)
    assert (await ask(bench, limit, once="1")).admitted
    assert (await ask(bench, limit, once="1")).admitted
    assert not (await ask(bench, limit, once="2")).admitted


async def test_a_denial_is_not_remembered(bench: Bench) -> None:
    """It charged nothing and stored nothing; asked again, the same request finds the room there."""
    limit = rate(1, SECOND)
    await ask(bench, limit)
    before = bench.contents()
    assert not (await ask(bench, limit, once="1")).admitted
    assert bench.contents() == before
    bench.clock.advance(SECOND)
    assert (await ask(bench, limit, once="1")).admitted


async def test_other_charges_under_the_same_id_are_charged(bench: Bench) -> None:
    """Another cost, another limit or one limit more is another question: a policy has changed."""
    wide, day = rate(9, MINUTE), quota(9)
    await ask(bench, wide, day, once="1")
    assert told(await ask(bench, wide, day, cost=2, once="1"))[1][0][0] == 6
    assert told(await ask(bench, wide, once="1"))[1][0][0] == 5
    assert told(await ask(bench, rate(8, MINUTE), day, once="1"))[1][0][0] == 3


async def test_subjects_do_not_share_answers(bench: Bench) -> None:
    """The same id with two callers is two requests."""
    for subject in ("key:a", "key:b"):
        answer = await ask(bench, rate(1, MINUTE), subject=subject, once="1")
        assert answer.readings[0].remaining == 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    calls=st.lists(
        st.tuples(st.integers(0, 900), st.integers(0, 4), st.integers(0, 3)), max_size=40
    )
)
async def test_each_id_is_charged_at_most_once_in_two_seconds(
    bench: Bench, calls: list[tuple[int, int, int]]
) -> None:
    """However calls repeat and wherever they go, what is used is one a request admitted."""
    subject, day = f"key:{next(subjects)}", quota(1000)
    admitted: dict[str, int] = {}
    used = 0
    for pause, number, caller in calls:
        bench.clock.advance(pause)
        now, once = bench.clock.now_ms(), str(number)
        if now - admitted.get(once, 0) >= REMEMBERED_MS:
            admitted[once] = now
            used += 1
        store = bench.stores[caller % len(bench.stores)]
        assert (await ask(store, day, subject=subject, once=once)).admitted
    assert (await ask(bench, day, subject=subject)).readings[0].remaining == 1000 - used - 1
