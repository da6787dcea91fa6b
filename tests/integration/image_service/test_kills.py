"""Real processes, killed at random: whatever was accepted is done, once, and right.

`IMAGE_KILL_SECONDS` says for how long; twenty seconds unless told otherwise.
"""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import ClientError, ClientSession, ClientTimeout
from PIL import Image

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.core.transform import transform
from image_service.process import DRAIN_S
from image_service.storage.redis.client import open_client
from image_service.storage.redis.jobs import RedisJobStore
from image_service.testing import encoded, identity
from tests.e2e.processes import children
from tests.integration.image_service.ensemble import Ensemble, submit
from tests.servers.node import until

_SECONDS: Final = float(os.environ.get("IMAGE_KILL_SECONDS", "20"))
_SETTLE_S: Final = 90.0
_PICTURES: Final = 6
_BETWEEN_KILLS_S: Final = (0.2, 1.5)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 2 * _SECONDS + 2 * _SETTLE_S)]


@pytest_asyncio.fixture
async def ensemble(tmp_path: Path) -> AsyncIterator[Ensemble]:
    """Everything up and answering."""
    made = Ensemble(tmp_path)
    try:
        await made.start_all()
        yield made
    finally:
        await made.close()


@dataclass(slots=True)
class _Tally:
    """What became of every request: accepted jobs with the picture each was about."""

    accepted: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    unanswered: int = 0
    kills: Counter[str] = field(default_factory=Counter)


def _pictures() -> list[bytes]:
    return [
        encoded(Image.effect_noise((360, 360), 20 + 20 * number)) for number in range(_PICTURES)
    ]


def _expected(pictures: list[bytes], folder: Path) -> list[bytes]:
    """What the service must make of each, made here."""
    made = []
    for content in pictures:
        source, target = folder / "source", folder / "target"
        source.write_bytes(content)
        transform(source, target, TransformSpec(2, ImageFormat.PNG, 90), lambda _: None)
        made.append(target.read_bytes())
    return made


async def _submit_until(
    over: asyncio.Event, url: str, pictures: list[bytes], tally: _Tally, dice: random.Random
) -> None:
    async with ClientSession(timeout=ClientTimeout(total=10)) as session:
        while not over.is_set():
            number = dice.randrange(len(pictures))
            try:
                job_id = await submit(session, url, pictures[number])
            except (ClientError, OSError):
                tally.unanswered += 1
                await asyncio.sleep(0.1)
                continue
            if job_id is None:
                tally.refused += 1
            else:
                tally.accepted[job_id] = number
            await asyncio.sleep(0.1)


async def _kill_until(
    over: asyncio.Event, ensemble: Ensemble, tally: _Tally, dice: random.Random
) -> None:
    while not over.is_set():
        await asyncio.sleep(dice.uniform(*_BETWEEN_KILLS_S))
        victim = dice.choice(ensemble.names)
        await ensemble.kill(victim)
        tally.kills[victim] += 1
        await asyncio.sleep(dice.uniform(0, 0.8))
        await ensemble.start(victim)


async def test_every_accepted_job_is_done_once_whatever_dies(
    ensemble: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """202 is a promise that outlives workers, the API and the job server."""
    pictures = _pictures()
    expected = await asyncio.to_thread(_expected, pictures, tmp_path)
    seed = int(os.environ.get("IMAGE_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    dice, tally, over = random.Random(seed), _Tally(), asyncio.Event()  # noqa: S311 - no secret
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(_submit_until(over, ensemble.url, pictures, tally, dice))
        tasks.create_task(_kill_until(over, ensemble, tally, dice))
        await asyncio.sleep(_SECONDS)
        over.set()
    await ensemble.ready()
    began = asyncio.get_running_loop().time()
    statuses = await _final(ensemble, tally.accepted)
    settled_s = asyncio.get_running_loop().time() - began
    attempts = await _attempts(ensemble, tally.accepted)
    with capsys.disabled():
        print(  # noqa: T201 - the figures are half of the point
            f"\nseed {seed}, {_SECONDS:.0f} s: {len(tally.accepted)} accepted,"
            f" {tally.refused} refused, {tally.unanswered} unanswered,"
            f" kills {dict(tally.kills)}, settled {settled_s:.1f} s after the last,"
            f" {dict(Counter(statuses.values()))}, attempts {dict(sorted(attempts.items()))}"
        )
    assert set(statuses.values()) == {"succeeded"}
    assert tally.kills.total() > 0
    await _results_are(ensemble, {it: expected[tally.accepted[it]] for it in tally.accepted})
    assert max(_finishes(ensemble).values()) == 1


async def _final(ensemble: Ensemble, job_ids: Mapping[str, int]) -> Mapping[str, str]:
    """The status of every job, once none can change any more or the time is up."""
    statuses = dict.fromkeys(job_ids, "unknown")
    waiting = set(job_ids)
    over = asyncio.get_running_loop().time() + _SETTLE_S
    async with ClientSession(ensemble.url, headers=identity()) as session:
        while waiting and asyncio.get_running_loop().time() < over:
            for job_id in list(waiting):
                async with session.get(f"/api/v1/jobs/{job_id}") as answer:
                    statuses[job_id] = (await answer.json()).get("status", str(answer.status))
                if statuses[job_id] in {"succeeded", "failed", "cancelled"}:
                    waiting.remove(job_id)
            await asyncio.sleep(0.2)
    return statuses


async def _results_are(ensemble: Ensemble, expected: Mapping[str, bytes]) -> None:
    async with ClientSession(ensemble.url, headers=identity()) as session:
        for job_id, image in expected.items():
            async with session.get(f"/api/v1/jobs/{job_id}/result") as answer:
                assert answer.status == 200
                assert await answer.read() == image


def _finishes(ensemble: Ensemble) -> Counter[str]:
    """How often each job was finished, by the word of the workers' logs."""
    lines = [
        json.loads(line)
        for name in ensemble.operations
        for line in ensemble.log(name).splitlines()
        if '"Job finished"' in line
    ]
    return Counter(line["job_id"] for line in lines)


async def _attempts(ensemble: Ensemble, job_ids: Mapping[str, int]) -> Counter[int]:
    store = RedisJobStore(
        open_client(ensemble.settings["IMAGE_QUEUE_URL"]), queue_limit=1, max_jobs=1
    )
    try:
        found = [await store.get("key:test", job_id, now_ms=0) for job_id in job_ids]
        return Counter(job.attempts for job in found if job is not None)
    finally:
        await store.close()


async def test_a_worker_that_stops_hands_back_what_it_cannot_finish(
    ensemble: Ensemble,
) -> None:
    """SIGTERM under work: exit code 0, the other worker does the rest, nothing is begun twice."""
    pictures = _pictures()
    async with ClientSession() as session:
        accepted = {}
        for number in range(30):
            job_id = await submit(session, ensemble.url, pictures[number % _PICTURES])
            assert job_id is not None
            accepted[job_id] = number
    assert await ensemble.stop("worker-0") == 0
    statuses = await _final(ensemble, accepted)
    assert set(statuses.values()) == {"succeeded"}
    assert set(await _attempts(ensemble, accepted)) == {1}


async def test_a_job_whose_worker_is_killed_is_done_by_another(ensemble: Ensemble) -> None:
    """In a second attempt, as soon as the first worker has been silent for long enough."""
    async with ClientSession() as session:
        job_id = await submit(session, ensemble.url, _slow_picture(), scale="4", format="webp")
        assert job_id is not None
        name = await _busy(session, ensemble)
        await _begun(session, ensemble, job_id)
        await ensemble.kill(name)
    statuses = await _final(ensemble, {job_id: 0})
    assert set(statuses.values()) == {"succeeded"}
    assert set(await _attempts(ensemble, {job_id: 0})) == {2}


async def test_a_job_server_that_is_killed_costs_a_running_job_nothing(ensemble: Ensemble) -> None:
    """The image is worked on meanwhile; what there is to say waits until it listens again."""
    async with ClientSession() as session:
        job_id = await submit(session, ensemble.url, _slow_picture(), scale="4", format="webp")
        assert job_id is not None
        await _busy(session, ensemble)
        await ensemble.kill("valkey")
        async with session.get(f"{ensemble.url}/api/v1/jobs/{job_id}", headers=identity()) as told:
            assert told.status == 503
        await ensemble.start("valkey")
    await asyncio.to_thread(until, ensemble.valkey.answers, "job server")
    statuses = await _final(ensemble, {job_id: 0})
    assert set(statuses.values()) == {"succeeded"}
    assert set(await _attempts(ensemble, {job_id: 0})) == {1}


async def test_what_is_not_done_in_time_is_handed_back(ensemble: Ensemble) -> None:
    """A stopping worker gives its job 25 seconds; then another has it, as if for the first time."""
    async with ClientSession() as session:
        job_id = await submit(session, ensemble.url, _slow_picture(), scale="4", format="webp")
        assert job_id is not None
        name = await _busy(session, ensemble)
    (decoder,) = children(ensemble.pid(name))
    os.kill(decoder, signal.SIGSTOP)  # nothing will be done in time
    began = asyncio.get_running_loop().time()
    assert await ensemble.stop(name) == 0
    assert DRAIN_S <= asyncio.get_running_loop().time() - began < DRAIN_S + 4
    assert '"Job handed back"' in ensemble.log(name)
    statuses = await _final(ensemble, {job_id: 0})
    assert set(statuses.values()) == {"succeeded"}
    assert set(await _attempts(ensemble, {job_id: 0})) == {1}


def _slow_picture() -> bytes:
    return encoded(Image.merge("RGBA", [Image.effect_noise((900, 900), 60)] * 4), compress_level=1)


async def _begun(session: ClientSession, ensemble: Ensemble, job_id: str) -> None:
    """Wait until the attempt counts: a worker that is killed before that has begun nothing."""
    while True:
        async with session.get(f"{ensemble.url}/api/v1/jobs/{job_id}", headers=identity()) as told:
            if (await told.json())["status"] == "running":
                return
        await asyncio.sleep(0.01)


async def _busy(session: ClientSession, ensemble: Ensemble) -> str:
    """The worker that has a job, once one has."""
    while True:
        for name, url in ensemble.operations.items():
            async with session.get(f"{url}/readyz") as answer:
                if (await answer.json())["details"]["jobs_running"]:
                    return name
        await asyncio.sleep(0.01)
