"""What a refund takes out of a counter, on one server: what was counted then, and no more."""

from collections.abc import AsyncIterator, Sequence
from struct import pack

import pytest
import pytest_asyncio

from authz_service.core.counter_key import counter_key, counter_kind
from authz_service.core.rules import Rate
from tests.conformance.storage.bench import START_MS, ServerBench, opened, scripts_on_test_clock
from tests.conformance.storage.hits import count, hit
from tests.conformance.storage.limits import MANY, MINUTE, rate
from tests.conformance.storage.server import Server

CLOCK = "test-clock"


@pytest_asyncio.fixture
async def bench(server: Server) -> AsyncIterator[ServerBench]:
    """One server."""
    async with opened(lambda: ServerBench.over(server)) as bench:
        assert isinstance(bench, ServerBench)
        yield bench


def refund(server: Server, limit: Rate, *taken: tuple[int, int]) -> int:
    """Give back (cost, moment) from the counter of a limit."""
    script = scripts_on_test_clock(CLOCK).refund
    keys = [counter_key("key:a", limit)] * len(taken)
    arguments: list[str | int] = []
    for cost, moment_ms in taken:
        arguments += (counter_kind(limit), cost, limit.window_ms, moment_ms)
    given_back = server.admin.eval(script.text, len(keys), *keys, *arguments)
    assert isinstance(given_back, int)
    return given_back


async def used(bench: ServerBench, limit: Rate) -> int:
    """How much is counted."""
    [it] = (await count(bench, hit(limit, 0))).counts
    assert it is not None
    return it.used_before


@pytest.mark.parametrize("each", [1, MANY], ids=["log", "buckets"])
@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ([(2, 0)], 4),
        ([(1, 0)], 5),
        ([(2, 2_000)], 4),
        ([(2, 4_000)], 4),
        ([(9, 2_000)], 4),  # never what others took
        ([(2, 0), (2, 2_000), (2, 4_000)], 0),
        ([(2, 2_000), (2, 2_000)], 4),
    ],
)
async def test_what_was_counted_at_a_moment_is_given_back_and_nothing_else(
    bench: ServerBench,
    server: Server,
    each: int,
    taken: Sequence[tuple[int, int]],
    left: int,
) -> None:
    """Two at each of three moments; the first, the middle and the last can go, or all."""
    limit = rate(6 * each, MINUTE)
    for _ in range(3):
        await count(bench, hit(limit, 2 * each))
        bench.clock.advance(2_000)
    [(_, expires_ms)] = bench.contents().values()
    asked = [(cost * each, START_MS + at) for cost, at in taken]
    assert refund(server, limit, *asked) == (6 - left) * each
    assert await used(bench, limit) == left * each
    assert [at for _, at in bench.contents().values()] == [expires_ms] * bool(left)
    assert not (await count(bench, hit(limit, (6 - left) * each))).over
    assert (await count(bench, hit(limit, each))).over


async def test_a_log_is_cut_byte_by_byte(bench: ServerBench, server: Server) -> None:
    """The epoch stays, and so do dead admissions before."""
    limit = rate(9, MINUTE)
    for pause, cost in ((0, 1), (MINUTE // 2, 3), (MINUTE // 2, 2)):
        bench.clock.advance(pause)
        await count(bench, hit(limit, cost))
    assert refund(server, limit, (2, START_MS + MINUTE // 2)) == 2
    [(value, _)] = bench.contents().values()
    assert value == pack("<Q4I", START_MS, 0, MINUTE // 2, MINUTE, MINUTE)


@pytest.mark.parametrize("each", [1, MANY], ids=["log", "buckets"])
async def test_what_is_not_there_is_not_given_back(
    bench: ServerBench, server: Server, each: int
) -> None:
    """No counter, one that began later, a moment between, and what has left the window."""
    limit = rate(6 * each, MINUTE)
    assert refund(server, limit, (1, START_MS)) == 0
    await count(bench, hit(limit, 2 * each))
    for moment_ms in (START_MS - 1, START_MS + 1):
        assert refund(server, limit, (1, moment_ms)) == 0
    bench.clock.advance(MINUTE)
    before = bench.contents()
    assert refund(server, limit, (2 * each, START_MS)) == 0
    assert bench.contents() == before


async def test_a_bucket_that_others_joined_keeps_what_they_took(
    bench: ServerBench, server: Server
) -> None:
    """It counts until its last admission leaves the window, as before."""
    limit = rate(5_000, MINUTE)
    await count(bench, hit(limit, 1_000))
    bench.clock.advance(600)
    await count(bench, hit(limit, 3_000))
    assert refund(server, limit, (1_000, START_MS)) == 1_000
    [(value, _)] = bench.contents().values()
    assert value == pack("<QI", START_MS + 600, 3_000)
