"""A client of the image service, as one caller: sends an image, asks after a job."""

import asyncio
import io
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession, FormData

from image_service.testing import identity
from tests.integration.image_service.ensemble import UPSCALE


def form_of(content: bytes) -> FormData:
    """A form that asks for four times the size, as WebP: that takes longest."""
    form = FormData({"scale": "4", "format": "webp"})
    form.add_field("file", io.BytesIO(content), filename="a")
    return form


async def post(
    client: ClientSession, content: bytes, **headers: str
) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers, and the document if there is one."""
    given = {**identity(), **headers}
    async with client.post(UPSCALE, data=form_of(content), headers=given) as answer:
        body = await answer.json() if answer.content_type == "application/json" else None
        return answer.status, answer.headers, body


async def job_at(client: ClientSession, path: str) -> Mapping[str, Any]:
    """How a job stands."""
    async with client.get(path, headers=identity()) as answer:
        job: Mapping[str, Any] = await answer.json()
        return job


async def until(client: ClientSession, path: str, *statuses: str) -> Mapping[str, Any]:
    """The job, as soon as it has one of these statuses."""
    while True:
        job = await job_at(client, path)
        if job["status"] in statuses:
            return job
        await asyncio.sleep(0.01)
