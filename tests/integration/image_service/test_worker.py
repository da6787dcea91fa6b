"""The queue, the bound on it, and what becomes of jobs when things go wrong."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from aiohttp import ClientSession
from PIL import Image

from image_service import upload
from image_service.app import Service, Workshop
from image_service.core.bounds import ResultRefusedError
from image_service.errors import DecoderError
from image_service.jobs import KEPT_MS
from image_service.sandbox import Sandbox
from image_service.serve import drain, running
from image_service.testing import ManualClock, encoded, identity, picture
from tests.integration.image_service.asking import job_at, post, until
from tests.integration.image_service.decoders import pid_of
from tests.integration.image_service.ensemble import UPSCALE
from tests.integration.image_service.house import LOOPBACK, House

_NOISE = Image.merge("RGBA", [Image.effect_noise((900, 900), 60)] * 4)
_SLOW = encoded(_NOISE, compress_level=1)
_MEDIUM = encoded(Image.effect_noise((800, 800), 60))
_QUICK = encoded(picture())

MakeHouse = Callable[..., House]


async def test_a_full_queue_is_said_so(make_house: MakeHouse) -> None:
    """503 with `Retry-After`, and nothing of the refused upload stays."""
    house = make_house(IMAGE_QUEUE_LIMIT="1")
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _SLOW)
        first = headers["Location"]
        await until(client, first, "running")
        _, headers, _ = await post(client, _SLOW)
        second = headers["Location"]
        status, headers, body = await post(client, _QUICK)
        assert (status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(headers["Retry-After"]) > 0
        for path in (second, first):
            async with client.delete(path, headers=identity()) as answer:
                assert answer.status == 204
        await house.idle()
        assert house.files() == []


async def test_a_cancelled_job_makes_way(make_house: MakeHouse) -> None:
    """A waiting one never runs, a running one stops at once, the next one runs."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        paths = [(await post(client, _SLOW))[1]["Location"] for _ in range(2)]
        await until(client, paths[0], "running")
        for path in reversed(paths):
            async with client.delete(path, headers=identity()) as answer:
                assert answer.status == 204
        status, _, _ = await post(client, _QUICK, Prefer="wait=30")
        assert status == 200
        assert (await job_at(client, paths[0]))["status"] == "cancelled"
        waiting = await job_at(client, paths[1])
        assert (waiting["status"], waiting["started_at"]) == ("cancelled", None)


async def test_a_cancelled_job_stops_in_the_middle_of_encoding(make_house: MakeHouse) -> None:
    """Nobody waits for an encoder whose work is not wanted: it would take seconds here."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _SLOW)
        while (await job_at(client, headers["Location"]))["progress"] < 90:
            continue
        async with client.delete(headers["Location"], headers=identity()) as answer:
            assert answer.status == 204
        async with asyncio.timeout(2):
            await house.idle()


async def test_who_waits_for_a_cancelled_job_is_told(make_house: MakeHouse) -> None:
    """The wait ends with the job, not with the time."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        headers = {"Idempotency-Key": "k"}
        _, answered, _ = await post(client, _SLOW, **headers)
        waiting = asyncio.create_task(post(client, _SLOW, Prefer="wait=30", **headers))
        await until(client, answered["Location"], "running")
        async with client.delete(answered["Location"], headers=identity()) as answer:
            assert answer.status == 204
        status, _, body = await waiting
        assert (status, body["error"]["code"]) in {(409, "JOB_FAILED"), (422, "VALIDATION_ERROR")}
        assert body["error"]["message"] == "The job was cancelled."


async def _at_work(house: House) -> None:
    while not house.workshop.worker.running:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


def _decoder(part: Service | Workshop) -> int:
    (sandbox,) = part.sandboxes
    return pid_of(sandbox)


async def test_a_decoder_that_dies_fails_its_job_alone(make_house: MakeHouse) -> None:
    """500 for who waited; the next job finds a new process."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _SLOW)
        while not (await job_at(client, headers["Location"]))["progress"]:
            continue  # before the decoder has the image, another one would get it
        os.kill(_decoder(house.workshop), signal.SIGKILL)
        job = await until(client, headers["Location"], "failed")
        assert job["error"] == {
            "code": "INTERNAL_ERROR",
            "message": "The image could not be processed.",
        }
        async with client.get(headers["Location"] + "/result", headers=identity()) as answer:
            assert answer.status == 409
            error = (await answer.json())["error"]
            assert (error["code"], error["details"]["error"]) == ("JOB_FAILED", job["error"])
        status, _, _ = await post(client, _QUICK, Prefer="wait=30")
        assert status == 200


async def test_an_inspector_that_dies_is_replaced(make_house: MakeHouse) -> None:
    """At worst the upload at hand is refused; the next is taken."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        os.kill(_decoder(house.service), signal.SIGKILL)
        status, _, _ = await post(client, _QUICK, Prefer="wait=30")
        assert status in {200, 400}
        status, _, _ = await post(client, _QUICK, Prefer="wait=30")
        assert status == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DecoderError("CANARY"), 500, "INTERNAL_ERROR"),
        (RuntimeError("CANARY"), 500, "INTERNAL_ERROR"),
        (ResultRefusedError("choose another format"), 422, "VALIDATION_ERROR"),
    ],
    ids=["decoder", "defect", "unfit"],
)
async def test_a_failure_waited_for_is_the_requests_failure(
    make_house: MakeHouse,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    """In the one form, without a word of what is inside. Only a planted error fails on demand."""

    async def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(Sandbox, "transform", fail)
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        answered, _, body = await post(client, _QUICK, Prefer="wait=30")
        assert (answered, body["error"]["code"]) == (status, code)
        assert "CANARY" not in str(body)


async def test_an_unexpected_error_is_an_internal_error(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 in the one form; the text of the error stays in the log."""

    async def fail(*_arguments: object) -> None:
        raise RuntimeError("CANARY")

    monkeypatch.setattr(Sandbox, "inspect", fail)
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        status, _, body = await post(client, _QUICK)
        assert (status, body["error"]["code"]) == (500, "INTERNAL_ERROR")
        assert body["error"]["message"] == "Internal server error."
        assert "CANARY" not in str(body)


async def test_nothing_outlives_its_day(stores: Mapping[str, str], tmp_path: Path) -> None:
    """24 hours later the job is unknown and its file is gone."""
    clock = ManualClock()
    house = House.build(stores, tmp_path, clock)
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _QUICK, Prefer="wait=30")
        await house.idle()
        assert len(house.files()) == 1
        clock.advance(KEPT_MS)
        async with client.get(headers["Content-Location"], headers=identity()) as answer:
            assert answer.status == 404
        await house.workshop.upkeep.expire()
        assert house.files() == []


async def test_uploads_leave_no_files_behind(make_house: MakeHouse) -> None:
    """Neither refused nor finished ones: only results stay, until they are deleted."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        await post(client, b"not an image")
        await post(client, b"x" * 6_000_000)
        _, headers, _ = await post(client, _QUICK, Prefer="wait=30")
        job_id = headers["Content-Location"].split("/")[-2]
        await house.idle()
        assert house.files() == [f"{job_id}/result-1"]
        async with client.delete(f"/api/v1/jobs/{job_id}", headers=identity()) as answer:
            assert answer.status == 204
        assert house.files() == []


async def test_draining_finishes_what_is_in_hand(make_house: MakeHouse) -> None:
    """`/readyz` says so, new jobs are refused, the job in hand and its waiter finish."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        waiting = asyncio.create_task(post(client, _MEDIUM, Prefer="wait=30"))
        await _at_work(house)
        draining = asyncio.create_task(drain(house.service))
        await asyncio.sleep(0)
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.json()) == (503, {"status": "draining"})
        status, headers, _ = await post(client, _QUICK)
        assert (status, "Retry-After" in headers) == (503, True)
        assert not draining.done()
        await house.workshop.worker.drain(within_s=20)
        status, _, _ = await waiting
        assert status == 200
        await draining


async def test_draining_has_an_end(make_house: MakeHouse) -> None:
    """What lasts longer than the drain time is handed back, as if it had never been begun."""
    house = make_house()
    async with house.living() as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await post(client, _SLOW)
        await until(client, headers["Location"], "running")
        await house.workshop.worker.drain(within_s=0.05)
        job = await job_at(client, headers["Location"])
        assert (job["status"], job["started_at"], job["progress"]) == ("queued", None, 0)
        delivery = await house.workshop.stores.queue.take(timeout_s=1)
        assert delivery is not None
        assert headers["Location"].endswith(delivery.job_id)


async def test_who_still_waits_at_the_end_of_draining_is_told_where_the_job_is(
    make_house: MakeHouse,
) -> None:
    """The job is accepted: cut off, its owner would not know of it."""
    house = make_house()
    async with (
        running(house.service, LOOPBACK) as address,
        ClientSession(f"http://{address}") as client,
    ):
        waiting = asyncio.create_task(post(client, _QUICK, Prefer="wait=30"))
        while not await house.service.stores.jobs.waiting():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        await drain(house.service, within_s=1)
        status, headers, body = await asyncio.wait_for(waiting, 5)
    assert status == 202
    assert headers["Location"] == f"/api/v1/jobs/{body['job_id']}"
    await house.workshop.stores.close()


async def test_a_form_that_does_not_arrive_ends_the_request(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408 in the one form, and nothing of the half upload stays."""
    monkeypatch.setattr(upload, "RECEIVE_S", 0.05)
    house = make_house()
    async with house.living() as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        lines = [
            f"POST {UPSCALE} HTTP/1.1",
            "Host: x",
            "Content-Length: 5000",
            "Content-Type: multipart/form-data; boundary=x",
            *(f"{name}: {value}" for name, value in identity().items()),
            "",
            '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc',
        ]
        writer.write("\r\n".join(lines).encode())
        answer = (await reader.readuntil(b"}}")).decode()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith("HTTP/1.1 408 ")
        assert '"code": "REQUEST_TIMEOUT"' in answer
        assert house.files() == []
