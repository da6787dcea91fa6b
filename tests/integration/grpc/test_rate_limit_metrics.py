"""What is counted of ShouldRateLimit: real calls, real limiters, and a scrape of the socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from authz_service.core.descriptor_answer import AnswerOptions
from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.global_limits import DESCRIPTOR_KEY, DOMAIN
from authz_service.descriptor_limiter import DescriptorLimiter
from authz_service.limiter import GlobalLimiter, Limiter
from authz_service.observe.metrics import Metrics
from authz_service.observe.unknown_domains import UnknownDomains
from authz_service.settings import GrpcServer
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import StandIn
from authz_service.testing.builders import read_policy
from authz_service.testing.clock import ManualClock
from authz_service.testing.descriptors import read_descriptors
from authz_service.testing.server import Worker, serving
from authz_service.testing.stores import Fault, FaultyStore
from authz_service.transports.metrics_socket import MetricsSocket, fetch
from authz_service.wire.services import RateLimitRequest, RateLimitResponse
from tests.integration.grpc.conftest import Stack

RULES = """
domain: shop
descriptors:
  - {key: one, rate_limit: {unit: minute, requests_per_unit: 1}}
  - {key: deny, rate_limit: {unit: minute, requests_per_unit: 9, on_store_failure: deny}}
"""
POLICY = """
version: 1
tiers: {free: {max_upload: 5MB}}
upstream: {address: "127.0.0.1:8080"}
routes:
  - name: all
    match: {method: GET, path: /all}
    global_limits: [{name: one, rate: 1/minute}, {name: deny, rate: 9/minute, on_store_failure: deny}]
"""  # noqa: E501
OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
SHOWN = ("authz_ratelimit_answers", "authz_ratelimit_errors")


class Limits:
    """Both limiters over a store that can fail."""

    def __init__(self, metrics: Metrics) -> None:
        clock = ManualClock()
        self.store = FaultyStore(MemoryStore(clock))
        counter = FailoverStore(self.store, stand_in=StandIn(clock), clock=clock, metrics=metrics)
        self._counter, self._metrics, self._clock = counter, metrics, clock
        self.of_policy = GlobalLimiter(read_policy(POLICY), counter)

    def limiter(self, rules: DescriptorRules | None, *, shadow: bool = False) -> Limiter:
        """What a worker wires together."""
        unknown = UnknownDomains(self._clock, counted=self._metrics.rate_limit.domain_unknown)
        files = DescriptorLimiter(
            rules,
            self._counter,
            options=AnswerOptions(shadow=shadow),
            near_ratio=0.8,
            told=self._metrics.rule_hit,
            domain_unknown=unknown.asked_for,
        )
        return Limiter(of_policy=self.of_policy, of_files=files)


@dataclass(frozen=True, slots=True)
class Bench:
    """A worker, the store behind it, and where it tells its metrics."""

    worker: Worker
    store: FaultyStore
    exposition: Path

    async def ask(self, domain: str, *entries: tuple[str, str]) -> int:
        """The code of an answer; a descriptor for each entry."""
        question = RateLimitRequest(domain=domain)
        for key, value in entries:
            question.descriptors.add().entries.add(key=key, value=value)
        answer = await self.worker.should_rate_limit(question.SerializeToString())
        return RateLimitResponse.FromString(answer).overall_code

    async def refused(self, domain: str, *entries: tuple[str, str]) -> grpc.StatusCode:
        """The status of a question that gets no answer."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(domain, *entries)
        return caught.value.code()

    async def scraped(self) -> Mapping[str, float]:
        """Everything that is not nothing, by name and label values, without times of creation."""
        text = (await fetch(self.exposition, 5)).decode()
        return {
            " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): (
                sample.value
            )
            for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
            for sample in family.samples
            if sample.value and not sample.name.endswith("_created")
        }

    async def questions(self) -> Mapping[str, float]:
        """Answers and errors alone."""
        return {name: it for name, it in (await self.scraped()).items() if name.startswith(SHOWN)}


@pytest.fixture
def rules() -> DescriptorRules | None:
    """Those of the files."""
    return read_descriptors(RULES)


@pytest.fixture
def shadow() -> bool:
    """Whether nothing is refused."""
    return False


@pytest.fixture
async def bench(
    stack: Stack, kind: GrpcServer, rules: DescriptorRules | None, *, shadow: bool, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A worker of either server."""
    metrics = Metrics()
    limits = Limits(metrics)
    path = tmp_path / "metrics.sock"
    served = MetricsSocket(path, exposition=metrics.exposition)
    await served.start()
    async with serving(
        stack.engine,
        kind=kind,
        address=f"unix:{tmp_path / 'both.sock'}",
        limiter=limits.limiter(rules, shadow=shadow),
        metrics=metrics,
    ) as worker:
        yield Bench(worker, limits.store, path)
    await served.stop()


async def test_answers_are_counted_by_whose_limits_they_are_about(bench: Bench) -> None:
    """Two of the policy, three of files; and as many times were taken."""
    assert [await bench.ask("shop", ("one", "x")) for _ in range(3)] == [OK, OVER, OVER]
    assert [await bench.ask(DOMAIN, (DESCRIPTOR_KEY, "one")) for _ in range(2)] == [OK, OVER]
    assert await bench.questions() == {
        "authz_ratelimit_answers_total ok files": 1,
        "authz_ratelimit_answers_total over_limit files": 2,
        "authz_ratelimit_answers_total ok policy": 1,
        "authz_ratelimit_answers_total over_limit policy": 1,
    }
    scraped = await bench.scraped()
    assert scraped["authz_ratelimit_duration_seconds_count"] == 5
    assert 0 < scraped["authz_ratelimit_duration_seconds_sum"] < 5


async def test_a_domain_that_no_file_has_is_seen(bench: Bench) -> None:
    """Every question is counted, one is named in the log, and no label has the name."""
    with capture_logs() as logs:
        assert [await bench.ask(name, ("one", "x")) for name in ("shopp", "shopp", "s")] == [OK] * 3
    assert [(line["event"], line["domain"]) for line in logs] == [
        ("no descriptor file has this domain", "shopp")
    ]
    scraped = await bench.scraped()
    assert scraped["authz_ratelimit_unknown_domain_total"] == 3
    assert b"shopp" not in await fetch(bench.exposition, 5)


@pytest.mark.parametrize("shadow", [True])
async def test_what_passes_in_shadow_is_seen(bench: Bench) -> None:
    """An answer that would have refused is one that does not, and is counted apart."""
    assert [await bench.ask("shop", ("one", "x")) for _ in range(3)] == [OK] * 3
    scraped = await bench.scraped()
    assert scraped["authz_ratelimit_shadow_answers_total"] == 2
    assert scraped["authz_ratelimit_answers_total ok files"] == 3


async def test_questions_that_cannot_be_answered_are_counted_by_the_reason(bench: Bench) -> None:
    """What is missing, what is too much, and what nobody can count."""
    assert await bench.refused("", ("one", "x")) is grpc.StatusCode.UNKNOWN
    assert await bench.refused("shop") is grpc.StatusCode.UNKNOWN
    for domain in ("shop", DOMAIN):
        many = [("one", "x")] * 257
        assert await bench.refused(domain, *many) is grpc.StatusCode.INVALID_ARGUMENT
    negative = RateLimitRequest(domain="shop")
    negative.descriptors.add(is_negative_hits=True)
    with pytest.raises(grpc.aio.AioRpcError):
        await bench.worker.should_rate_limit(negative.SerializeToString())
    assert await bench.questions() == {
        "authz_ratelimit_answers_total error files": 4,
        "authz_ratelimit_answers_total error policy": 1,
        "authz_ratelimit_errors_total files no_domain": 1,
        "authz_ratelimit_errors_total files no_descriptors": 1,
        "authz_ratelimit_errors_total files too_large": 1,
        "authz_ratelimit_errors_total files invalid": 1,
        "authz_ratelimit_errors_total policy too_large": 1,
    }


@pytest.mark.parametrize("rules", [None])
async def test_without_rules_every_question_is_an_error(bench: Bench) -> None:
    """And no domain is unknown: there is nothing that could know it."""
    assert await bench.refused("shop", ("one", "x")) is grpc.StatusCode.UNKNOWN
    scraped = await bench.scraped()
    assert scraped["authz_ratelimit_errors_total files no_rules"] == 1
    assert "authz_ratelimit_unknown_domain_total" not in scraped


async def test_a_store_that_is_away_is_an_error_where_it_is_to_be_one(bench: Bench) -> None:
    """For either kind; what is counted in the worker instead is an answer like any other."""
    bench.store.fault = Fault.FAILING
    assert await bench.ask("shop", ("one", "x")) == OK
    assert await bench.refused("shop", ("deny", "x")) is grpc.StatusCode.UNKNOWN
    assert await bench.refused(DOMAIN, (DESCRIPTOR_KEY, "deny")) is grpc.StatusCode.UNKNOWN
    assert await bench.questions() == {
        "authz_ratelimit_answers_total ok files": 1,
        "authz_ratelimit_answers_total error files": 1,
        "authz_ratelimit_answers_total error policy": 1,
        "authz_ratelimit_errors_total files store_unavailable": 1,
        "authz_ratelimit_errors_total policy store_unavailable": 1,
    }


async def test_a_question_that_nobody_waits_for_is_counted(bench: Bench) -> None:
    """A store that hangs for longer than Envoy waits would otherwise look like no traffic."""
    bench.store.fault = Fault.SLOW
    call = asyncio.create_task(bench.ask("shop", ("one", "x")))
    async with asyncio.timeout(5):
        await bench.store.asked.wait()
    call.cancel()
    await bench.worker.in_flight.until_idle(5)
    assert await bench.questions() == {
        "authz_ratelimit_answers_total error files": 1,
        "authz_ratelimit_errors_total files cancelled": 1,
    }
