"""The operators' port of the image service, and what real jobs leave on it."""

import asyncio
import io
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession, FormData
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from image_service import serve, work
from image_service.errors import DecoderError
from image_service.process import listening
from image_service.sandbox import Sandbox
from image_service.testing import encoded, identity, picture
from tests.integration.image_service.house import LOOPBACK, House

_UPSCALE = "/api/v1/images/upscale"
_QUICK = encoded(picture())
_SLOW = encoded(Image.merge("RGBA", [Image.effect_noise((900, 900), 60)] * 4), compress_level=1)

MakeHouse = Callable[..., House]


@asynccontextmanager
async def _clients(house: House) -> AsyncIterator[tuple[ClientSession, "Operator"]]:
    """One of the API, one of both processes' ports for operators."""
    async with (
        house.living() as address,
        listening(house.service.operations_app, LOOPBACK) as api,
        listening(house.workshop.operations_app, LOOPBACK) as worker,
        ClientSession(f"http://{address}", headers=identity()) as client,
        ClientSession() as session,
    ):
        yield client, Operator(session, api=str(api), worker=str(worker))


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever looks at the ports of both processes."""

    session: ClientSession
    api: str
    worker: str

    async def values(self) -> Mapping[tuple[str, ...], float]:
        """Every series of both; none is there twice."""
        found: dict[tuple[str, ...], float] = {}
        for address in (self.api, self.worker):
            async with self.session.get(f"http://{address}/metrics") as answer:
                assert answer.status == 200
                shown = _values(await answer.text())
            assert not shown.keys() & found.keys()
            found |= shown
        return found

    async def readyz(self, address: str) -> tuple[int, Mapping[str, Any]]:
        """Status and document of one of them."""
        async with self.session.get(f"http://{address}/readyz") as answer:
            return answer.status, await answer.json()


def _values(text: str) -> dict[tuple[str, ...], float]:
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


async def test_a_job_leaves_its_traces(make_house: MakeHouse) -> None:
    """Taken, measured, done; what is no image was uploaded all the same."""
    async with _clients(make_house()) as (client, operator):
        assert (await _post(client, _QUICK, Prefer="wait=30"))[0] == 200
        assert (await _post(client, b"not an image"))[0] == 400
        found = await operator.values()
    assert found["imagen_jobs_created_total", "upscale"] == 1
    assert found["imagen_jobs_completed_total", "upscale", "success"] == 1
    assert found["imagen_job_processing_seconds_count", "upscale"] == 1
    assert found["imagen_upload_file_size_bytes_count", "upscale"] == 2
    assert found["imagen_upload_file_size_bytes_sum", "upscale"] == len(_QUICK) + 12
    assert found["imagen_queue_depth", "upscale-jobs"] == 0


async def test_a_failure_is_counted(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one, with its time. Only a planted error fails on demand."""

    async def fail(*_arguments: object) -> None:
        raise DecoderError("planted")

    monkeypatch.setattr(Sandbox, "transform", fail)
    async with _clients(make_house()) as (client, operator):
        assert (await _post(client, _QUICK, Prefer="wait=30"))[0] == 500
        found = await operator.values()
    assert found["imagen_jobs_completed_total", "upscale", "failure"] == 1
    assert found["imagen_jobs_completed_total", "upscale", "success"] == 0
    assert found["imagen_job_processing_seconds_count", "upscale"] == 1


async def test_waiting_and_cancelled_jobs_show(make_house: MakeHouse) -> None:
    """One runs, one waits; both are cancelled, each counted once and without a time."""
    async with _clients(make_house()) as (client, operator):
        _, first = await _post(client, _SLOW)
        await _until_running(client, first)
        _, second = await _post(client, _SLOW)
        assert (await operator.values())["imagen_queue_depth", "upscale-jobs"] == 1
        assert await operator.readyz(operator.api) == (
            200,
            {
                "status": "ready",
                "details": {"requests_in_hand": 0, "jobs_waiting": 1, "store_answers": True},
            },
        )
        assert await operator.readyz(operator.worker) == (
            200,
            {"status": "ready", "details": {"jobs_running": 1, "store_answers": True}},
        )
        for job in (second, first, first):
            await client.delete(job)
        found = await operator.values()
    assert found["imagen_jobs_created_total", "upscale"] == 2
    assert found["imagen_jobs_completed_total", "upscale", "cancelled"] == 2
    assert found["imagen_job_processing_seconds_count", "upscale"] == 0


async def test_a_draining_process_says_so(make_house: MakeHouse) -> None:
    """Not ready, but alive: either of them."""
    house = make_house()
    async with _clients(house) as (_, operator):
        await serve.drain(house.service)
        await work.drain(house.workshop)
        for address in (operator.api, operator.worker):
            status, document = await operator.readyz(address)
            assert (status, document["status"]) == (503, "draining")
            async with operator.session.get(f"http://{address}/healthz") as answer:
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
    make_house: MakeHouse, method: str, path: str, status: int
) -> None:
    """The API is on its own port."""
    async with (
        listening(make_house().service.operations_app, LOOPBACK) as operations,
        ClientSession(f"http://{operations}") as operator,
        operator.request(method, path) as answer,
    ):
        assert answer.status == status


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_taken_port_is_one_clear_line(stores: Mapping[str, str], command: str) -> None:
    """Exit code 1, the address in the sentence, nobody left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-m", "image_service", command, "--operations-listen", address],
            env={**os.environ, **stores, "IMAGE_LISTEN": "127.0.0.1:0", "IMAGE_WORKERS": "1"},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"image_service: cannot listen on {address}: ")


async def test_the_public_port_shows_no_metrics(make_house: MakeHouse) -> None:
    """They are for operators alone."""
    async with _clients(make_house()) as (client, _), client.get("/metrics") as answer:
        assert answer.status == 404
