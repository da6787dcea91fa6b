"""The queue, the bound on it, and what becomes of jobs when things go wrong."""

import asyncio
import io
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, FormData
from PIL import Image

from image_service import upload
from image_service.app import Service, build
from image_service.core.bounds import ResultRefusedError
from image_service.errors import DecoderError
from image_service.jobs import KEPT_MS
from image_service.sandbox import Sandbox
from image_service.serve import drain, running
from image_service.settings import Address, Settings
from image_service.testing import ManualClock, encoded, identity, picture

_UPSCALE = "/api/v1/images/upscale"
_LOOPBACK = Address("127.0.0.1", 0)
_NOISE = Image.merge("RGBA", [Image.effect_noise((900, 900), 60)] * 4)
_SLOW = encoded(_NOISE, compress_level=1)
_MEDIUM = encoded(Image.effect_noise((800, 800), 60))
_QUICK = encoded(picture())

MakeService = Callable[[Settings], Service]


def _form(content: bytes) -> FormData:
    form = FormData({"scale": "4", "format": "webp"})
    form.add_field("file", io.BytesIO(content), filename="a")
    return form


def _settings(**values: str) -> Settings:
    return Settings.load({"IMAGE_WORKERS": "1", **values})


async def _post(
    client: ClientSession, content: bytes, **headers: str
) -> tuple[int, Mapping[str, str], Any]:
    form = _form(content)
    async with client.post(_UPSCALE, data=form, headers={**identity(), **headers}) as answer:
        body = await answer.json() if answer.content_type == "application/json" else None
        return answer.status, answer.headers, body


async def _job(client: ClientSession, path: str) -> Mapping[str, Any]:
    async with client.get(path, headers=identity()) as answer:
        job: Mapping[str, Any] = await answer.json()
        return job


async def _until(client: ClientSession, path: str, *statuses: str) -> Mapping[str, Any]:
    while True:
        job = await _job(client, path)
        if job["status"] in statuses:
            return job
        await asyncio.sleep(0.01)


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_full_queue_is_said_so(make_service: MakeService, tmp_path: Path) -> None:
    """503 with `Retry-After`, and nothing of the refused upload stays."""
    service = make_service(_settings(IMAGE_QUEUE_LIMIT="1"))
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await _post(client, _SLOW)
        first = headers["Location"]
        await _until(client, first, "running")
        _, headers, _ = await _post(client, _SLOW)
        second = headers["Location"]
        status, headers, body = await _post(client, _QUICK)
        assert (status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(headers["Retry-After"]) > 0
        for path in (second, first):
            async with client.delete(path, headers=identity()) as answer:
                assert answer.status == 204
        await service.worker.idle()
        assert _files(tmp_path) == []


async def test_a_cancelled_job_makes_way(make_service: MakeService) -> None:
    """A waiting one never runs, a running one stops at once, the next one runs."""
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        paths = [(await _post(client, _SLOW))[1]["Location"] for _ in range(2)]
        await _until(client, paths[0], "running")
        for path in reversed(paths):
            async with client.delete(path, headers=identity()) as answer:
                assert answer.status == 204
        status, _, _ = await _post(client, _QUICK, Prefer="wait=30")
        assert status == 200
        assert (await _job(client, paths[0]))["status"] == "cancelled"
        waiting = await _job(client, paths[1])
        assert (waiting["status"], waiting["started_at"]) == ("cancelled", None)


async def test_a_cancelled_job_stops_in_the_middle_of_encoding(make_service: MakeService) -> None:
    """Nobody waits for an encoder whose work is not wanted: it would take seconds here."""
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await _post(client, _SLOW)
        while (await _job(client, headers["Location"]))["progress"] < 90:
            continue
        async with client.delete(headers["Location"], headers=identity()) as answer:
            assert answer.status == 204
        async with asyncio.timeout(2):
            await service.worker.idle()


async def test_who_waits_for_a_cancelled_job_is_told(make_service: MakeService) -> None:
    """The wait ends with the job, not with the time."""
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        headers = {"Idempotency-Key": "k"}
        _, answered, _ = await _post(client, _SLOW, **headers)
        waiting = asyncio.create_task(_post(client, _SLOW, Prefer="wait=30", **headers))
        await _until(client, answered["Location"], "running")
        async with client.delete(answered["Location"], headers=identity()) as answer:
            assert answer.status == 204
        status, _, body = await waiting
        assert (status, body["error"]["code"]) in {(409, "JOB_FAILED"), (422, "VALIDATION_ERROR")}
        assert body["error"]["message"] == "The job was cancelled."


async def _at_work(service: Service) -> None:
    while True:
        if service.worker._at_work:
            return
        await asyncio.sleep(0.01)


def _decoders(service: Service) -> list[int]:
    return [sandbox._process.pid for sandbox in service.sandboxes if sandbox._process is not None]


async def test_a_decoder_that_dies_fails_its_job_alone(make_service: MakeService) -> None:
    """500 for who waited; the next job finds a new process."""
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await _post(client, _SLOW)
        await _until(client, headers["Location"], "running")
        os.kill(_decoders(service)[1], signal.SIGKILL)
        job = await _until(client, headers["Location"], "failed")
        assert job["error"] == {
            "code": "INTERNAL_ERROR",
            "message": "The image could not be processed.",
        }
        async with client.get(headers["Location"] + "/result", headers=identity()) as answer:
            assert answer.status == 409
            error = (await answer.json())["error"]
            assert (error["code"], error["details"]["error"]) == ("JOB_FAILED", job["error"])
        status, _, _ = await _post(client, _QUICK, Prefer="wait=30")
        assert status == 200


async def test_an_inspector_that_dies_is_replaced(make_service: MakeService) -> None:
    """At worst the upload at hand is refused; the next is taken."""
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        os.kill(_decoders(service)[0], signal.SIGKILL)
        status, _, _ = await _post(client, _QUICK, Prefer="wait=30")
        assert status in {200, 400}
        status, _, _ = await _post(client, _QUICK, Prefer="wait=30")
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
    make_service: MakeService,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    """In the one form, without a word of what is inside. Only a planted error fails on demand."""

    async def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(Sandbox, "transform", fail)
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        answered, _, body = await _post(client, _QUICK, Prefer="wait=30")
        assert (answered, body["error"]["code"]) == (status, code)
        assert "CANARY" not in str(body)


async def test_an_unexpected_error_is_an_internal_error(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 in the one form; the text of the error stays in the log."""

    async def fail(*_arguments: object) -> None:
        raise RuntimeError("CANARY")

    monkeypatch.setattr(Sandbox, "inspect", fail)
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        status, _, body = await _post(client, _QUICK)
        assert (status, body["error"]["code"]) == (500, "INTERNAL_ERROR")
        assert body["error"]["message"] == "Internal server error."
        assert "CANARY" not in str(body)


async def test_nothing_outlives_its_day(tmp_path: Path) -> None:
    """24 hours later the job is unknown and its file is gone."""
    clock = ManualClock()
    service = build(_settings(), clock=clock, folder=tmp_path)
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await _post(client, _QUICK, Prefer="wait=30")
        assert len(_files(tmp_path)) == 1
        clock.advance(KEPT_MS)
        async with client.get(headers["Content-Location"], headers=identity()) as answer:
            assert answer.status == 404
        await service.engine.expire()
        assert _files(tmp_path) == []


async def test_uploads_leave_no_files_behind(make_service: MakeService, tmp_path: Path) -> None:
    """Neither refused nor finished ones: only results stay, until they are deleted."""
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        await _post(client, b"not an image")
        await _post(client, b"x" * 6_000_000)
        _, headers, _ = await _post(client, _QUICK, Prefer="wait=30")
        job_id = headers["Content-Location"].split("/")[-2]
        await service.worker.idle()
        assert _files(tmp_path) == [job_id]
        async with client.delete(f"/api/v1/jobs/{job_id}", headers=identity()) as answer:
            assert answer.status == 204
        assert _files(tmp_path) == []


async def test_draining_finishes_what_is_in_hand(make_service: MakeService) -> None:
    """`/readyz` says so, new jobs are refused, the job in hand and its waiter finish."""
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        waiting = asyncio.create_task(_post(client, _MEDIUM, Prefer="wait=30"))
        await _at_work(service)
        draining = asyncio.create_task(drain(service))
        await asyncio.sleep(0)
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.json()) == (503, {"status": "draining"})
        status, headers, _ = await _post(client, _QUICK)
        assert (status, "Retry-After" in headers) == (503, True)
        assert not draining.done()
        status, _, _ = await waiting
        assert status == 200
        await draining


async def test_draining_has_an_end(make_service: MakeService) -> None:
    """What lasts longer than the drain time is lost, and the service stops all the same."""
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address, ClientSession(f"http://{address}") as client:
        _, headers, _ = await _post(client, _SLOW)
        await _until(client, headers["Location"], "running")
        await drain(service, within_s=0.05)
        assert (await _job(client, headers["Location"]))["status"] == "running"


async def test_a_form_that_does_not_arrive_ends_the_request(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """408 in the one form, and nothing of the half upload stays."""
    monkeypatch.setattr(upload, "RECEIVE_S", 0.05)
    service = make_service(_settings())
    async with running(service, _LOOPBACK) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        lines = [
            f"POST {_UPSCALE} HTTP/1.1",
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
        assert _files(tmp_path) == []
