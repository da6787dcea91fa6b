"""What stands in the server, byte by byte: every release has to read what the one before wrote."""

from struct import pack

from tests.conformance.storage.bench import START_MS, ServerBench, opened
from tests.conformance.storage.limits import DAY, MINUTE, ask, quota, rate
from tests.conformance.storage.server import Server


async def test_counters_are_stored_as_they_always_were(server: Server) -> None:
    """A log, buckets and a quota after three charges. Other bytes need another version of names."""
    async with opened(lambda: ServerBench.over(server)) as bench:
        for pause in (0, 400, 700):
            bench.clock.advance(pause)
            await ask(bench, rate(9, MINUTE), rate(6_000, MINUTE), quota(9), cost=2)
        last = START_MS + 1_100
        expected = {
            "rate:rate": (pack("<Q6I", START_MS, 0, 0, 400, 400, 1_100, 1_100), last + 2 * MINUTE),
            "buckets:rate": (pack("<QIQI", START_MS + 400, 4, last, 2), last + 2 * MINUTE),
            "quota:quota": (pack("<QQ", START_MS, 6), START_MS + DAY + MINUTE),
        }
        assert bench.contents() == {
            str(f"authz:{{1:key:a}}:{name}".encode()): kept for name, kept in expected.items()
        }


async def test_answers_are_stored_as_they_always_were(server: Server) -> None:
    """Until when an answer stands, then what remained and when each limit resets."""
    async with opened(lambda: ServerBench.over(server)) as bench:
        await ask(bench, rate(9, MINUTE), rate(6_000, MINUTE), quota(9), cost=2, once="1")
        [(value, expires_ms)] = [kept for key, kept in bench.contents().items() if ":once:" in key]
        assert expires_ms == START_MS + 2_000
        window = START_MS + MINUTE
        told = (START_MS + 2_000, 7, window, 5_998, window, 7, START_MS + DAY)
        assert value == pack("<7Q", *told)
