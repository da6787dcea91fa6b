"""What is told of a check, whether its answer arrives or nobody waits for it: on both servers."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from authz_service.core.facts import Facts
from authz_service.core.respond import Outcome
from authz_service.observe.decision_log import DecisionLog, Shares
from authz_service.observe.metrics import Metrics
from authz_service.settings import GrpcServer
from authz_service.testing.builders import PlantedSecrets
from authz_service.testing.server import Worker, serving
from authz_service.testing.stores import Fault
from tests.integration.grpc.conftest import Stack

TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass(slots=True, kw_only=True)
class Bench:
    """A worker that tells of checks as the service's own does, and a question with a good key.

    `first` runs when a check is decided and nothing of it has left the worker.
    """

    stack: Stack
    metrics: Metrics
    question: bytes
    worker: Worker = field(init=False)
    first: Callable[[], object] = bool

    def decided_first(self, _facts: Facts, _outcome: Outcome, _seconds: float) -> None:
        """A check was decided."""
        self.first()

    async def ask(self) -> asyncio.Task[bytes]:
        """Ask, and return when the store has been asked."""
        call = asyncio.create_task(self.worker.check(self.question))
        async with asyncio.timeout(5):
            await self.stack.store.asked.wait()
        return call

    def counted(self) -> dict[str, str]:
        """How often there was which kind of decision, by its labels."""
        text = self.metrics.exposition().decode()
        return dict(re.findall(r"^authz_decisions_total\{(.*)\} (.*)$", text, re.MULTILINE))


@pytest.fixture
async def bench(
    stack: Stack, kind: GrpcServer, planted_secrets: PlantedSecrets, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A worker of either server."""
    question = stack.question(
        "/v1/things?page=2",
        ("x-api-key", planted_secrets.api_key.encode()),
        ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),
    )
    bench = Bench(stack=stack, metrics=Metrics(), question=question)
    log = DecisionLog(Shares(denials=1, allows=1), clock=stack.clock)
    async with serving(
        stack.engine,
        kind=kind,
        address=f"unix:{tmp_path / 'told.sock'}",
        decided=(bench.decided_first, bench.metrics.decided, log.decided),
    ) as worker:
        bench.worker = worker
        yield bench


async def test_every_answer_has_a_line(bench: Bench, planted_secrets: PlantedSecrets) -> None:
    """Two allows and a denial, each with its trace and what is left, and nothing to log in with."""
    with capture_logs() as lines:
        for _ in range(3):
            await bench.worker.check(bench.question)
    assert [(line["decision"], line["reason"]) for line in lines] == [
        ("allow", "ok"),
        ("allow", "ok"),
        ("over_limit", "rate_limited"),
    ]
    left = [[limit["remaining"] for limit in line["limits"]] for line in lines]
    assert left == [[1, 2], [0, 1], [0, 1]]
    assert {line["trace_id"] for line in lines} == {TRACE}
    assert planted_secrets.found_in(str(lines)) == []


async def _cancel(bench: Bench) -> None:
    """The asker resets the call, as Envoy does when its client is gone."""
    call = await bench.ask()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def _be_late(bench: Bench) -> None:
    """The asker's time is over."""
    with pytest.raises(grpc.aio.AioRpcError):
        await bench.worker.check(bench.question, timeout_s=0.1)


async def _disconnect(bench: Bench) -> None:
    """The asker is gone with its connection."""
    call = await bench.ask()
    await bench.worker.channel.close()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize("leave", [_cancel, _be_late, _disconnect])
async def test_a_check_that_nobody_waits_for_has_a_line(
    bench: Bench, leave: Callable[[Bench], Awaitable[None]]
) -> None:
    """The store hangs: who asked for what is told all the same, and counted."""
    bench.stack.store.fault = Fault.SLOW
    with capture_logs() as lines:
        await leave(bench)
        await bench.worker.in_flight.until_idle(5)
    (line,) = lines
    assert {name: it for name, it in line.items() if name != "duration_ms"} == {
        "event": "Decision",
        "log_level": "info",
        "decision_id": "decision-1",
        "trace_id": TRACE,
        "route": "things",
        "decision": "abandoned",
        "reason": "cancelled",
        "tier": "free",
        "subject": "key:good",
        "key_id": "good",
        "auth_method": "api_key",
        "method": "GET",
        "path": "/v1/things",
    }
    labels = 'decision="abandoned",reason="cancelled",route="things",tier="free"'
    assert bench.counted() == {labels: "1.0"}


async def test_an_answer_that_nobody_takes_has_its_line(bench: Bench) -> None:
    """The asker leaves between the decision and its answer: it was decided, and it says so."""
    bench.stack.store.fault = Fault.SLOW
    with capture_logs() as lines:
        call = await bench.ask()
        bench.first = call.cancel
        bench.stack.store.fault = None
        with pytest.raises(asyncio.CancelledError):
            await call
        await bench.worker.in_flight.until_idle(5)
    assert [(line["decision"], line["reason"]) for line in lines] == [("allow", "ok")]
    labels = 'decision="allow",reason="ok",route="things",tier="free"'
    assert bench.counted() == {labels: "1.0"}
