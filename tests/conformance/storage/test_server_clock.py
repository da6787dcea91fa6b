"""The main promises once more with the shipped script, on the server's own clock."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from authz_service.clock import SystemClock, stopwatch
from authz_service.core.meter import REMEMBERED_MS
from authz_service.core.rules import Limit
from authz_service.storage.base import InconclusiveError
from authz_service.storage.redis.store import RedisStore
from authz_service.testing.clock import ManualClock
from tests.conformance.storage.admissions import Admission, most_in_a_window
from tests.conformance.storage.bench import redis_store, scripts_on_test_clock
from tests.conformance.storage.limits import DAY, HOUR, MANY, MINUTE, ask, quota, rate
from tests.conformance.storage.server import Server


@pytest_asyncio.fixture
async def store(server: Server) -> AsyncIterator[RedisStore]:
    """A store as it is deployed."""
    store = redis_store(server.url, clock=SystemClock())
    yield store
    await store.close()


def test_the_script_under_test_is_the_shipped_one_but_for_its_clock() -> None:
    """Exactly one line differs between what is tested and what is shipped."""
    scripts_on_test_clock()  # asserts it


@pytest.mark.parametrize("each", [1, MANY], ids=["log", "buckets"])
async def test_four_processes_share_a_limit_of_five(server: Server, each: int) -> None:
    """A hundred callers over four connections admit exactly five."""
    stores = [redis_store(server.url, clock=SystemClock()) for _ in range(4)]
    answers = await asyncio.gather(
        *(ask(stores[n % 4], rate(5 * each, MINUTE), cost=each) for n in range(100))
    )
    assert sum(answer.admitted for answer in answers) == 5
    for store in stores:
        await store.close()


@pytest.mark.parametrize("each", [1, MANY], ids=["log", "buckets"])
async def test_a_place_comes_back_when_the_server_says_so(store: RedisStore, each: int) -> None:
    """Asking again and again, the first admission after a denial is not early and not late."""
    limit = rate(each, 150)
    clock = SystemClock()
    assert (await ask(store, limit, cost=each)).admitted
    asked_ms = clock.monotonic_ms()
    wait_ms = (await ask(store, limit)).readings[0].retry_after_ms
    assert 0 < wait_ms <= 150
    while not (await ask(store, limit)).admitted:
        assert clock.monotonic_ms() - asked_ms <= wait_ms + 5_000
    assert clock.monotonic_ms() - asked_ms > wait_ms - 2


async def test_counters_leave_the_server_by_themselves(server: Server, store: RedisStore) -> None:
    """Every key has an expiry: a window and a minute, or a day's rest and a minute."""
    await ask(store, rate(5, MINUTE), quota(5), rate(5_000, MINUTE))
    for kind in ("rate", "buckets"):
        assert MINUTE < server.admin.pttl(f"authz:{{1:key:a}}:{kind}:rate") <= 2 * MINUTE
    assert MINUTE - 1_000 < server.admin.pttl("authz:{1:key:a}:quota:quota") <= DAY + MINUTE


async def test_answers_leave_the_server_after_two_seconds(
    server: Server, store: RedisStore
) -> None:
    """What is remembered of a request expires by itself, and is told while it is there."""
    answers = [await ask(store, rate(5, MINUTE), once="1") for _ in range(2)]
    assert [answer.readings[0].remaining for answer in answers] == [4, 4]
    [key] = server.admin.keys("authz:*:once:*")
    assert 0 < server.admin.pttl(key) <= REMEMBERED_MS


async def test_quotas_follow_the_servers_calendar_when_this_process_is_days_off(
    server: Server,
) -> None:
    """A process whose clock is wrong counts in the server's day, and with everybody else."""
    right = redis_store(server.url, clock=SystemClock())
    for off in (-3 * DAY, 3 * DAY, 400 * DAY):
        wrong = redis_store(server.url, clock=ManualClock(SystemClock().now_ms() + off))
        assert (await ask(wrong, quota(9))).admitted
        await wrong.close()
    answer = await ask(right, quota(9))
    assert answer.readings[0].remaining == 5
    assert answer.readings[0].reset_ms <= DAY
    await right.close()


async def test_a_counter_of_another_kind_in_the_way_is_an_error(
    server: Server, store: RedisStore
) -> None:
    """What somebody else wrote under our names is never taken for a count."""
    server.admin.lpush("authz:{1:key:a}:rate:rate", "x")
    server.admin.set("authz:{1:key:b}:rate:rate", "x")
    server.admin.set("authz:{1:key:c}:rate:rate", "")
    for subject in ("key:a", "key:b", "key:c"):
        with pytest.raises(InconclusiveError):
            await ask(store, rate(5, HOUR), subject=subject)
        server.admin.renamenx(
            f"authz:{{1:{subject}}}:rate:rate", f"authz:{{1:{subject}}}:buckets:rate"
        )
        with pytest.raises(InconclusiveError):
            await ask(store, rate(5_000, HOUR), subject=subject)


@pytest_asyncio.fixture
async def stores_apart(server: Server) -> AsyncIterator[list[RedisStore]]:
    """Stores of processes that are 61 s, a day and years behind and ahead of the server."""
    apart = [61_000, DAY, 400 * DAY, 30 * 365 * DAY]
    now_ms = SystemClock().now_ms()
    clocks = [ManualClock(now_ms + by) for by in (0, *apart, *(-by for by in apart))]
    stores = [redis_store(server.url, clock=clock) for clock in clocks]
    yield stores
    for store in stores:
        await store.close()


@pytest.mark.parametrize("limit", [rate(20, MINUTE), quota(20)], ids=["rate", "quota"])
async def test_processes_whose_clocks_are_apart_share_exactly_one_limit(
    stores_apart: list[RedisStore], limit: Limit
) -> None:
    """Every place is given once, whoever believes what time it is, and all tell one reset."""
    answers = await asyncio.gather(*(ask(store, limit) for store in stores_apart * 10))
    assert sum(answer.admitted for answer in answers) == 20
    resets_ms = [answer.readings[0].reset_ms for answer in answers]
    assert max(resets_ms) - min(resets_ms) < 5_000  # the time that asking took


async def test_a_place_comes_back_for_all_clocks_at_once(stores_apart: list[RedisStore]) -> None:
    """Over many windows no trailing one holds more than the limit, and the fullest holds it."""
    limit, admissions = rate(5, 100), list[Admission]()
    began_s = stopwatch()
    while (sent_s := stopwatch()) < began_s + 1.0:
        answers = await asyncio.gather(*(ask(store, limit) for store in stores_apart))
        received_s = stopwatch()
        admissions += [Admission(sent_s, received_s) for answer in answers if answer.admitted]
    assert most_in_a_window(admissions, 0.1) == 5
    assert len(admissions) > 5 * 5
