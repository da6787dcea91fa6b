"""The operators' port of the image service, and what real jobs leave on it."""

import asyncio
import io
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, FormData
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from image_service.app import Service
from image_service.errors import DecoderError
from image_service.sandbox import Sandbox
from image_service.serve import drain, listening, running
from image_service.settings import Address, Settings
from image_service.testing import encoded, identity, picture

_UPSCALE = "/api/v1/images/upscale"
_LOOPBACK = Address("127.0.0.1", 0)
_QUICK = encoded(picture())
_SLOW = encoded(Image.merge("RGBA", [Image.effect_noise((900, 900), 60)] * 4), compress_level=1)

MakeService = Callable[[Settings], Service]


@asynccontextmanager
async def _clients(service: Service) -> AsyncIterator[tuple[ClientSession, ClientSession]]:
    """One of the API's, one of the operators' port."""
    async with (
        running(service, _LOOPBACK) as address,
        listening(service.operations_app, _LOOPBACK) as operations,
        ClientSession(f"http://{address}", headers=identity()) as client,
        ClientSession(f"http://{operations}") as operator,
    ):
        yield client, operator


async def _values(operator: ClientSession) -> Mapping[tuple[str, ...], float]:
    async with operator.get("/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def _post(client: ClientSession, content: bytes, **headers: str) -> tuple[int, str]:
    form = FormData({"scale": "4", "format": "webp"})
    form.add_field("file", io.BytesIO(content), filename="a")
    async with client.post(_UPSCALE, data=form, headers=headers) as answer:
        return answer.status, answer.headers.get("Location", "")


async def _until_running(client: ClientSession, job: str) -> None:
    while True:
        async with client.get(job) as answer:
            if (await answer.json())["status"] == "running":
                return
        await asyncio.sleep(0.01)


async def test_a_job_leaves_its_traces(make_service: MakeService, settings: Settings) -> None:
    """Taken, measured, done; what is no image was uploaded all the same."""
    async with _clients(make_service(settings)) as (client, operator):
        assert (await _post(client, _QUICK, Prefer="wait=30"))[0] == 200
        assert (await _post(client, b"not an image"))[0] == 400
        found = await _values(operator)
    assert found["imagen_jobs_created_total", "upscale"] == 1
    assert found["imagen_jobs_completed_total", "upscale", "success"] == 1
    assert found["imagen_job_processing_seconds_count", "upscale"] == 1
    assert found["imagen_upload_file_size_bytes_count", "upscale"] == 2
    assert found["imagen_upload_file_size_bytes_sum", "upscale"] == len(_QUICK) + 12
    assert found["imagen_queue_depth", "upscale-jobs"] == 0


async def test_a_failure_is_counted(
    make_service: MakeService, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one, with its time. Only a planted error fails on demand."""

    async def fail(*_arguments: object) -> None:
        raise DecoderError("planted")

    monkeypatch.setattr(Sandbox, "transform", fail)
    async with _clients(make_service(settings)) as (client, operator):
        assert (await _post(client, _QUICK, Prefer="wait=30"))[0] == 500
        found = await _values(operator)
    assert found["imagen_jobs_completed_total", "upscale", "failure"] == 1
    assert found["imagen_jobs_completed_total", "upscale", "success"] == 0
    assert found["imagen_job_processing_seconds_count", "upscale"] == 1


async def test_waiting_and_cancelled_jobs_show(
    make_service: MakeService, settings: Settings
) -> None:
    """One runs, one waits; both are cancelled, each counted once and without a time."""
    async with _clients(make_service(settings)) as (client, operator):
        _, first = await _post(client, _SLOW)
        await _until_running(client, first)
        _, second = await _post(client, _SLOW)
        assert (await _values(operator))["imagen_queue_depth", "upscale-jobs"] == 1
        async with operator.get("/readyz") as answer:
            assert await answer.json() == {
                "status": "ready",
                "details": {"requests_in_hand": 0, "jobs_running": 1, "jobs_waiting": 1},
            }
        for job in (second, first, first):
            await client.delete(job)
        found = await _values(operator)
    assert found["imagen_jobs_created_total", "upscale"] == 2
    assert found["imagen_jobs_completed_total", "upscale", "cancelled"] == 2
    assert found["imagen_job_processing_seconds_count", "upscale"] == 0


async def test_a_draining_service_says_so(make_service: MakeService, settings: Settings) -> None:
    """Not ready, but alive."""
    service = make_service(settings)
    async with _clients(service) as (_, operator):
        await drain(service)
        async with operator.get("/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json())["status"] == "draining"
        async with operator.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/images/limits", 404),
        ("GET", "/docs", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/metrics", 405),
    ],
)
async def test_nothing_else_is_answered(
    make_service: MakeService, settings: Settings, method: str, path: str, status: int
) -> None:
    """The API is on its own port."""
    async with (
        listening(make_service(settings).operations_app, _LOOPBACK) as operations,
        ClientSession(f"http://{operations}") as operator,
        operator.request(method, path) as answer,
    ):
        assert answer.status == status


def test_a_taken_port_is_one_clear_line() -> None:
    """Exit code 1, the address in the sentence, nobody left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "image_service", "serve", "--listen", "127.0.0.1:0"),
                *("--workers", "1", "--operations-listen", address),
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"image_service: cannot listen on {address}: ")


async def test_the_public_port_shows_no_metrics(
    make_service: MakeService, settings: Settings
) -> None:
    """They are for operators alone."""
    async with _clients(make_service(settings)) as (client, _), client.get("/metrics") as answer:
        assert answer.status == 404
