"""Stores that fail under the service: what clients see, what is kept, and who makes it good."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientSession
from PIL import Image
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from image_service import engine, worker
from image_service.errors import (
    ClaimLostError,
    FilesError,
    QueueFullError,
    StoreError,
    StoreFullError,
    UnreadableError,
)
from image_service.jobs import MAX_ATTEMPTS, Job, JobStatus, Result
from image_service.storage.base import Claim
from image_service.storage.objects import FolderFileStore
from image_service.storage.redis.jobs import RedisJobStore
from image_service.storage.redis.queue import RedisQueue
from image_service.testing import ManualClock, encoded, identity, picture
from tests.integration.image_service.asking import job_at, post, until
from tests.integration.image_service.house import House

_QUICK = encoded(picture())
_MEDIUM = encoded(Image.effect_noise((800, 800), 60))

MakeHouse = Callable[..., House]


def _failing(error: Exception, times: int = 10**9) -> Callable[..., Any]:
    """A call that fails so often, and then works again, if it is given what it stands for."""
    left = iter(range(times))

    async def call(*_: object, **__: object) -> None:
        if next(left, None) is not None:
            raise error

    return call


def _first_fails(original: Callable[..., Any], error: Exception, times: int) -> Callable[..., Any]:
    fail = _failing(error, times)

    async def call(*arguments: object, **named: object) -> object:
        await fail()
        return await original(*arguments, **named)

    return call


@pytest.mark.parametrize(
    ("store", "call", "error"),
    [
        (RedisJobStore, "has_room", StoreError("x")),
        (RedisJobStore, "claim", StoreError("x")),
        (RedisJobStore, "create", StoreError("x")),
        (RedisJobStore, "create", QueueFullError("x")),
        (RedisJobStore, "create", StoreFullError("x")),
        (FolderFileStore, "keep_upload", FilesError("x")),
    ],
    ids=["room", "claim", "create", "full queue", "full store", "files"],
)
async def test_a_store_that_fails_is_503_and_leaves_nothing(
    make_house: MakeHouse,
    monkeypatch: pytest.MonkeyPatch,
    store: type,
    call: str,
    error: Exception,
) -> None:
    """Never 500; `Retry-After`, no file, no job; the same request sent again is taken."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        with monkeypatch.context() as fault:
            fault.setattr(store, call, _failing(error))
            status, headers, body = await post(client, _QUICK, **{"Idempotency-Key": "k"})
        assert (status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(headers["Retry-After"]) > 0
        assert house.files() == []
        again = {"Idempotency-Key": "k", "Prefer": "wait=30"}
        status, _, _ = await post(client, _QUICK, **again)
        assert status == 200


async def test_a_job_whose_answer_was_not_heard_is_undone(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made, the client was told 503: no trace of it stays."""
    house = make_house()
    original = RedisJobStore.create

    async def made_but_not_heard(self: RedisJobStore, job: Job, *, now_ms: int) -> None:
        await original(self, job, now_ms=now_ms)
        raise StoreError("x")

    monkeypatch.setattr(RedisJobStore, "create", made_but_not_heard)
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, _, _ = await post(client, _QUICK)
        assert status == 503
        assert await house.service.stores.jobs.unfinished(created_before_ms=2**53) == ()
        assert house.files() == []


async def test_a_claim_whose_answer_was_not_heard_is_given_up(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same request, sent again after the 503, is taken and not told to wait for itself."""
    house = make_house()
    original = RedisJobStore.claim

    async def claimed_but_not_heard(*arguments: Any, now_ms: int) -> None:  # noqa: ANN401
        await original(*arguments, now_ms=now_ms)
        raise StoreError("x")

    again = {"Idempotency-Key": "k"}
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        with monkeypatch.context() as fault:
            fault.setattr(RedisJobStore, "claim", claimed_but_not_heard)
            assert (await post(client, _QUICK, **again))[0] == 503
        assert (await post(client, _QUICK, **again))[0] == 202


async def test_a_request_that_takes_long_goes_on_claiming_its_key(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through silences of the store too; once the job is there, nobody asks any more."""
    monkeypatch.setattr(engine, "_HOLD_EVERY_S", 0.001)
    claims = 0
    enough = asyncio.Event()

    async def claim(_store: object, _subject: str, _key: str, job_id: str, *, now_ms: int) -> Claim:
        nonlocal claims
        assert now_ms > 0
        claims += 1
        if claims == 3:
            raise StoreError("x")
        if claims == 6:
            enough.set()
        return Claim(job_id, None)

    original = FolderFileStore.keep_upload

    async def slow(self: FolderFileStore, job_id: str, upload: Path) -> None:
        await asyncio.wait_for(enough.wait(), 10)
        await original(self, job_id, upload)

    monkeypatch.setattr(RedisJobStore, "claim", claim)
    monkeypatch.setattr(FolderFileStore, "keep_upload", slow)
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        assert (await post(client, _QUICK, **{"Idempotency-Key": "k"}))[0] == 202
        asked = claims
        await house.idle()
        assert claims == asked


async def test_who_lost_a_key_to_another_request_makes_no_job(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to ask again: then the key leads to the other's job."""
    monkeypatch.setattr(RedisJobStore, "create", _failing(ClaimLostError("x")))
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, headers, body = await post(client, _QUICK, **{"Idempotency-Key": "k"})
        assert (status, body["error"]["code"]) == (409, "CONFLICT")
        assert headers["Retry-After"] == "1"
        assert house.files() == []


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("GET", "/result"), ("DELETE", "")])
async def test_questions_about_jobs_are_503_too(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, method: str, suffix: str
) -> None:
    """Whoever asks is told to come back, not that the job is gone."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _QUICK)
        await until(client, headers["Location"], "succeeded")
        monkeypatch.setattr(RedisJobStore, "get", _failing(StoreError("x")))
        path = headers["Location"] + suffix
        async with client.request(method, path, headers=identity()) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0


async def test_a_job_that_could_not_be_queued_is_accepted_and_done(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """202, because the job exists; upkeep puts it into the queue."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        with monkeypatch.context() as fault:
            fault.setattr(RedisQueue, "put", _failing(StoreError("x")))
            status, headers, _ = await post(client, _QUICK)
            assert status == 202
        monkeypatch.setattr("image_service.upkeep.UNHEARD_MS", -1000)
        await house.workshop.upkeep.put_again()
        assert await until(client, headers["Location"], "succeeded", "failed")


async def test_who_waits_while_the_store_fails_is_told_where_the_job_is(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """202 and not 503: the job exists, and asking for it again would do the work twice."""
    monkeypatch.setattr(RedisJobStore, "settled", _failing(StoreError("x")))
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, headers, _ = await post(client, _QUICK, Prefer="wait=30")
        assert (status, "Preference-Applied" in headers) == (202, False)
        assert (await until(client, headers["Location"], "succeeded"))["progress"] == 100


async def test_who_waited_while_files_fail_is_told_where_the_job_is(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is made and cannot be read yet: told 503, the client would have it made anew."""
    pieces: tuple[bytes, ...] = ()

    async def read(*_: object, **__: object) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        raise FilesError("x")

    monkeypatch.setattr(FolderFileStore, "read", read)
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, headers, body = await post(client, _QUICK, Prefer="wait=30")
        assert (status, body["status"]) == (202, "succeeded")
        assert headers["Location"] == body["links"]["self"]
        assert "Preference-Applied" not in headers


@pytest.fixture
def small_disk() -> Iterator[Callable[[], None]]:
    """Lets no file become larger than 64 KiB from now on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_under_uploads_is_503(
    make_house: MakeHouse, small_disk: Callable[[], None]
) -> None:
    """Not 500, and nobody is sent to the log for a traceback: nothing broke, it is no fault."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        small_disk()
        with capture_logs() as lines:
            status, headers, body = await post(client, _MEDIUM)
        assert (status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(headers["Retry-After"]) > 0
        reasons = [line.get("reason") for line in lines if line["log_level"] == "warning"]
        assert reasons == ["receiving a file failed: File too large"]
        assert house.files() == []


async def test_a_cancelled_job_is_cancelled_though_its_files_stay(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """204: what is left goes with the job when it expires."""
    monkeypatch.setattr(FolderFileStore, "forget", _failing(FilesError("x")))
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _MEDIUM)
        async with client.delete(headers["Location"], headers=identity()) as answer:
            assert answer.status == 204
        assert (await job_at(client, headers["Location"]))["status"] == "cancelled"


@pytest.mark.parametrize("call", ["fetch_upload", "keep_result"])
async def test_a_file_store_that_fails_for_a_while_costs_attempts_only(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The job is begun again after a pause, and succeeds."""
    monkeypatch.setattr(worker, "PAUSES_S", (0.01, 0.01))
    times = MAX_ATTEMPTS - 1
    fault = _first_fails(getattr(FolderFileStore, call), FilesError("x"), times)
    monkeypatch.setattr(FolderFileStore, call, fault)
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, headers, _ = await post(client, _QUICK, Prefer="wait=30")
        assert status == 200
        await house.idle()
        job_id = headers["Content-Location"].split("/")[-2]
        assert house.files() == [f"{job_id}/result-{MAX_ATTEMPTS}"]


async def test_a_file_store_that_goes_on_failing_fails_the_job(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last attempt, as our fault, and nothing is left behind."""
    monkeypatch.setattr(worker, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(FolderFileStore, "keep_result", _failing(FilesError("planted")))
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, _, body = await post(client, _QUICK, Prefer="wait=30")
        assert (status, body["error"]["code"]) == (500, "INTERNAL_ERROR")
        assert "planted" not in str(body)
        await house.idle()
        assert house.files() == []


async def test_a_job_store_that_fails_for_a_while_costs_nothing(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an attempt nor a result: what was to be said is said when it listens again."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _MEDIUM)
        await until(client, headers["Location"], "running")
        fault = _first_fails(RedisJobStore.update, StoreError("x"), 3)
        monkeypatch.setattr(RedisJobStore, "update", fault)
        await until(client, headers["Location"], "succeeded", "failed")
        (job,) = await _kept(house, headers["Location"])
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)


async def _kept(house: House, *paths: str) -> list[Job]:
    jobs = house.service.stores.jobs
    found = [await jobs.get("key:test", path.rpartition("/")[2], now_ms=0) for path in paths]
    return [job for job in found if job is not None]


async def test_a_step_that_was_taken_but_not_heard_of_is_not_taken_twice(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step's first answer is lost: the job still succeeds, in one attempt."""
    original = RedisJobStore.update
    heard: set[tuple[str, int]] = set()

    async def lost_once(self: RedisJobStore, job: Job) -> bool:
        answer = await original(self, job)
        if (job.job_id, job.revision) not in heard:
            heard.add((job.job_id, job.revision))
            raise StoreError("x")
        return answer

    monkeypatch.setattr(RedisJobStore, "update", lost_once)
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, headers, _ = await post(client, _QUICK, Prefer="wait=30")
        assert status == 200
        (job,) = await _kept(house, headers["Content-Location"].removesuffix("/result"))
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)


async def test_a_job_that_was_begun_anew_elsewhere_keeps_the_others_result(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes late drops what it made, and nothing else."""
    original = FolderFileStore.keep_result
    theirs: list[Result] = []

    async def overtaken(self: FolderFileStore, job_id: str, *rest: Any) -> Result:  # noqa: ANN401
        jobs = house.workshop.stores.jobs
        job = await jobs.get("key:test", job_id, now_ms=0)
        assert job is not None
        other = job.started(job.created_ms)
        assert await jobs.update(other)
        theirs.append(await original(self, job_id, other.attempts, *rest[1:]))
        assert await jobs.update(other.succeeded(theirs[0], job.created_ms))
        return await original(self, job_id, *rest)

    monkeypatch.setattr(FolderFileStore, "keep_result", overtaken)
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, headers, _ = await post(client, _QUICK, Prefer="wait=30")
        assert status == 200
        await house.idle()
        job_id = headers["Content-Location"].split("/")[-2]
        (job,) = await _kept(house, f"/{job_id}")
        assert (job.result, job.attempts) == (theirs[0], 2)
        assert f"{job_id}/result-1" not in house.files()
        assert f"{job_id}/result-2" in house.files()


def _errors(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(line["event"], line["job_id"]) for line in lines if line["log_level"] == "error"]


async def test_a_job_that_cannot_be_read_takes_up_no_worker(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer program may have made it: it leaves the queue, said once, and may be put again."""
    monkeypatch.setattr(RedisJobStore, "get", _failing(UnreadableError("x")))
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        with capture_logs() as lines:
            _, headers, _ = await post(client, _QUICK)
            job_id = headers["Location"].rpartition("/")[2]
            while not _errors(lines):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            await house.workshop.worker.drain(within_s=5)
        assert _errors(lines) == [("Job cannot be read", job_id)]
        (job,) = await house.service.stores.jobs.unfinished(created_before_ms=2**53)
        assert await house.service.stores.queue.put(job)


async def test_a_job_whose_workers_were_lost_again_and_again_fails(make_house: MakeHouse) -> None:
    """Whatever kills its workers is not given another one."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        await house.workshop.worker.drain(within_s=5)
        _, headers, _ = await post(client, _QUICK)
        (job,) = await _kept(house, headers["Location"])
        for _ in range(MAX_ATTEMPTS):
            job = job.started(job.created_ms)
            assert await house.service.stores.jobs.update(job)
    reborn = House.build_again(house)
    async with reborn.living() as address, ClientSession(f"http://{address}") as client:
        job_seen = await until(client, headers["Location"], "succeeded", "failed")
        assert job_seen["error"]["code"] == "INTERNAL_ERROR"


async def test_a_job_whose_worker_was_lost_is_begun_anew(make_house: MakeHouse) -> None:
    """Handed out again, it is found running, and is done in the next attempt."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        await house.workshop.worker.drain(within_s=5)
        _, headers, _ = await post(client, _QUICK)
        (job,) = await _kept(house, headers["Location"])
        assert await house.service.stores.jobs.update(job.started(job.created_ms))
    reborn = House.build_again(house)
    async with reborn.living() as address, ClientSession(f"http://{address}") as client:
        await until(client, headers["Location"], "succeeded", "failed")
        (job,) = await _kept(reborn, headers["Location"])
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)


async def test_an_upload_that_is_gone_fails_its_job_at_once(make_house: MakeHouse) -> None:
    """No later attempt would find it."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        await house.workshop.worker.drain(within_s=5)
        _, headers, _ = await post(client, _QUICK)
        (job,) = await _kept(house, headers["Location"])
        await house.service.stores.files.drop_upload(job.job_id)
    reborn = House.build_again(house)
    async with reborn.living() as address, ClientSession(f"http://{address}") as client:
        await until(client, headers["Location"], "succeeded", "failed")
        (job,) = await _kept(reborn, headers["Location"])
        assert (job.status, job.attempts) == (JobStatus.FAILED, 1)


async def test_a_result_that_breaks_off_is_no_whole_answer(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once bytes are under way, only a broken connection can say that more should have come."""

    async def half(_self: object, _result: Result, **_: int) -> Any:  # noqa: ANN401
        yield b"\0"
        raise FilesError("x")

    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _QUICK)
        await until(client, headers["Location"], "succeeded")
        monkeypatch.setattr(FolderFileStore, "read", half)
        async with client.get(headers["Location"] + "/result", headers=identity()) as answer:
            assert answer.status == 200
            with pytest.raises(ClientPayloadError):
                await answer.read()


async def test_files_of_no_job_are_forgotten_and_those_of_jobs_are_not(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between keeping an upload and making its job leaves one."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        await post(client, _QUICK, Prefer="wait=30")
        await house.idle()
        kept = house.files()
        await house.service.stores.files.keep_upload("0" * 32, _written(house))
        assert len(house.files()) == 2
        await house.workshop.upkeep.forget_strays()
        assert len(house.files()) == 2
        monkeypatch.setattr("image_service.upkeep.STRAY_MS", -1000)
        await house.workshop.upkeep.forget_strays()
        assert house.files() == kept


def _written(house: House) -> Path:
    file = house.spool.parent / "upload"
    file.write_bytes(b"x")
    return file


async def test_lines_of_a_worker_carry_the_request_of_the_job(make_house: MakeHouse) -> None:
    """One id through the client's process and the worker's."""
    house = make_house()
    with capture_logs(processors=[merge_contextvars]) as lines:
        async with house.living() as address, ClientSession(f"http://{address}") as client:
            await post(client, _QUICK, **{"X-Request-ID": "abc-123", "Prefer": "wait=30"})
            await house.idle()
    said = {line["event"]: line.get("request_id") for line in lines}
    assert (said["Job created"], said["Job finished"]) == ("abc-123", "abc-123")


async def test_one_file_that_stays_keeps_no_others(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expired jobs are told once: all their files are tried, whatever becomes of the first."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        for _ in range(2):
            await post(client, _QUICK, Prefer="wait=30")
        await house.idle()
        fault = _first_fails(FolderFileStore.forget, FilesError("x"), 1)
        monkeypatch.setattr(FolderFileStore, "forget", fault)
        monkeypatch.setattr(house.workshop.upkeep, "_clock", ManualClock(2**52))
        with pytest.raises(FilesError):
            await house.workshop.upkeep.expire()
        assert len(house.files()) == 1
