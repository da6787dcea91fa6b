"""Hits under one id: what was counted is remembered for two seconds and told again."""

import asyncio
from dataclasses import replace

import pytest

from authz_service.core.hits import Fixed, Hit, Says
from authz_service.core.meter import LEAST_WAIT_MS, REMEMBERED_MS
from authz_service.core.rules import Charge, Rate
from tests.conformance.storage.bench import Bench, ServerBench, opened
from tests.conformance.storage.hits import count, figures, fixed, hit
from tests.conformance.storage.limits import MANY, MINUTE, SECOND, rate
from tests.conformance.storage.server import Server

KINDS: list[Rate | Fixed] = [rate(5, MINUTE), rate(5 * MANY, MINUTE), fixed(5, MINUTE)]
SUBJECTS = ["user:ada", "path:/images", "tenant:corp"]


async def used(bench: Bench, *hits: Hit) -> list[int]:
    """What the counters hold."""
    looks = (replace(it, cost=0, says=Says.SHADOW) for it in hits)
    return [it.used_before for it in (await count(bench, *looks)).counts if it]


async def test_the_same_id_is_counted_once(bench: Bench) -> None:
    """The second call gets the first one's answer, and nothing that is stored changes."""
    hits = [hit(limit, 2) for limit in KINDS]
    first = await count(bench, *hits, once="1")
    before = bench.contents()
    for store in bench.stores:
        assert await count(store, *hits, once="1") == first
    assert bench.contents() == before
    assert await used(bench, *hits) == [2, 2, 2]


async def test_several_subjects_are_counted_once_where_nothing_is_given_back(bench: Bench) -> None:
    """On a cluster, slots cannot know of each other: there a call that is sent again counts."""
    hits = [hit(limit, subject=at) for limit, at in zip(KINDS, SUBJECTS, strict=True)]
    for _ in range(3):
        assert not (await count(bench, *hits, once="1")).over
    times = 3 if bench.stores[0].gives_back else 1
    assert await used(bench, *hits) == [times] * 3


async def test_fixed_windows_of_several_subjects_are_counted_once(bench: Bench) -> None:
    """Also over slots, as nothing of them is given back: passing, and then refused."""
    hits = [hit(fixed(2, MINUTE), subject=at) for at in SUBJECTS]
    answers = []
    for once in ("1", "2", "3"):
        first = await count(bench, *hits, once=once)
        assert await count(bench, *hits, once=once) == first
        answers.append(first.over)
    assert answers == [False, False, True]
    assert await used(bench, *hits) == [3, 3, 3]


async def test_callers_with_one_id_at_once_are_counted_once(bench: Bench) -> None:
    """Twenty calls that overlap take one place together."""
    stores = bench.stores
    hits = [hit(limit) for limit in KINDS]
    calls = (count(stores[n % len(stores)], *hits, once="1") for n in range(20))
    answers = await asyncio.gather(*calls)
    assert answers == [answers[0]] * 20
    assert await used(bench, *hits) == [1, 1, 1]


async def test_calls_without_an_id_or_under_another_are_all_counted(bench: Bench) -> None:
    """Ids are compared whole."""
    one = hit(rate(9, MINUTE))
    for once in (None, None, "1", "11", "1:1", "1 ", "ä"):
        await count(bench, one, once=once)
    assert await used(bench, one) == [7]


async def test_an_answer_is_remembered_for_two_seconds_and_told_as_of_now(bench: Bench) -> None:
    """Up to the last millisecond, and no longer for being told again."""
    hits = hit(rate(5, SECOND)), hit(fixed(5, MINUTE))
    await count(bench, *hits, once="1")
    for pause, reset in ((400, 600), (REMEMBERED_MS - 401, 0)):
        bench.clock.advance(pause)
        told = figures(await count(bench, *hits, once="1"))[1]
        passed = pause if reset else REMEMBERED_MS - 1
        assert told == [(False, 4, reset, 0), (False, 4, MINUTE - passed, 0)]
    bench.clock.advance(1)
    await count(bench, *hits, once="1")
    assert await used(bench, *hits) == [1, 2]


async def test_what_was_over_is_told_as_over_and_with_a_wait(bench: Bench) -> None:
    """A limit in shadow was full; the answer stays that also when it is not any more."""
    full, wide = hit(rate(1, SECOND), says=Says.SHADOW), hit(rate(9, MINUTE, "wide"))
    ban = hit(rate(0, MINUTE, "ban"), says=Says.SHADOW)
    await count(bench, full)
    first = await count(bench, full, wide, ban, once="1")
    assert figures(first)[1] == [(True, 0, SECOND, SECOND), (False, 8, MINUTE, 0), (True, 0, 0, 0)]
    for pause, wait in ((300, 700), (900, LEAST_WAIT_MS)):
        bench.clock.advance(pause)
        told = await count(bench, full, wide, ban, once="1")
        assert [(it.over, it.retry_after_ms) for it in told.counts if it] == [
            *((True, wait), (False, 0), (True, 0))
        ]
        assert [it.used_before for it in told.counts if it] == [1, 0, 0]


async def test_the_last_place_is_told_to_who_took_it(bench: Bench) -> None:
    """The request is not refused for its own place when it is asked about again."""
    last = hit(rate(1, MINUTE))
    assert not (await count(bench, last, once="1")).over
    assert not (await count(bench, last, once="1")).over
    assert (await count(bench, last, once="2")).over


async def test_a_refusal_that_counted_is_remembered(bench: Bench) -> None:
    """A fixed window counts it once, and it stays a refusal though there is room by now."""
    full, window = hit(rate(1, SECOND)), hit(fixed(9, MINUTE))
    await count(bench, full)
    first = await count(bench, full, window, once="1")
    assert first.over
    bench.clock.advance(SECOND)
    told = await count(bench, full, window, once="1")
    assert (told.over, [it.counted for it in told.counts if it]) == (True, [False, True])
    assert await used(bench, full, window) == [0, 1]


@pytest.mark.parametrize("cost", [0, 1])
async def test_what_counted_nothing_is_not_remembered(bench: Bench, cost: int) -> None:
    """A refusal of sliding windows, or a look: asked again, it finds what there is by then."""
    limit = rate(1, SECOND)
    await count(bench, hit(limit))
    before = bench.contents()
    first = await count(bench, hit(limit, cost), once="1")
    assert first.over is bool(cost)
    assert bench.contents() == before
    bench.clock.advance(SECOND)
    told = await count(bench, hit(limit, cost), once="1")
    assert figures(told) == (False, [(False, 1 - cost, SECOND * cost, 0)])


@pytest.mark.parametrize(
    "other",
    [
        hit(rate(9, MINUTE), 2),
        hit(rate(8, MINUTE)),
        hit(rate(9, 2 * MINUTE)),
        hit(rate(9, MINUTE, "other")),
        hit(rate(9, MINUTE), says=Says.QUOTA),
        hit(fixed(9, MINUTE, "rate")),
        hit(rate(9, MINUTE), subject="key:b"),
    ],
)
async def test_other_hits_under_the_same_id_are_counted(bench: Bench, other: Hit) -> None:
    """Another cost, limit, mode, kind or subject is another question; so is one hit more."""
    one = hit(rate(9, MINUTE))
    await count(bench, one, once="1")
    [before] = await used(bench, other)
    await count(bench, other, once="1")
    assert await used(bench, other) == [before + other.cost]
    [before] = await used(bench, one)
    await count(bench, one, one, once="1")
    assert await used(bench, one) == [before + 2]


async def test_an_id_of_hits_is_none_of_charges(bench: Bench) -> None:
    """Of one subject, limit and cost: two questions."""
    [store, *_] = bench.stores
    one = hit(rate(9, MINUTE))
    await count(store, one, once="1")
    await store.charge(one.subject, (Charge(rate(9, MINUTE), 1),), once="1")
    assert await used(bench, one) == [2]


async def test_a_question_of_many_is_remembered_whole(server: Server) -> None:
    """As many as a question may have: numbers beyond what a script can hold at once would show."""
    async with opened(lambda: ServerBench.over(server)) as bench:
        hits = [hit(fixed(9, MINUTE), subject=str(number)) for number in range(256)]
        first = await count(bench, *hits, once="1")
        assert await count(bench, *hits, once="1") == first
        assert await used(bench, *hits) == [1] * 256
