"""The image service as it is deployed: processes of every kind, which a test may kill."""

import asyncio
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, ClientSession, FormData

from image_service.testing import identity
from tests.integration.image_service.conftest import durable
from tests.servers.node import HOST, Node, free_ports, until

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

UPSCALE: Final = "/api/v1/images/upscale"


class Ensemble:
    """Parts by name: `api`, `worker-0`, `worker-1` and so on, `valkey`. Each writes a log."""

    def __init__(self, folder: Path, *, workers: int = 2, **settings: str) -> None:
        self.folder = folder
        self.names = ("api", *(f"worker-{number}" for number in range(workers)), "valkey")
        self._processes: dict[str, Process] = {}
        server, api, *of_workers = free_ports(2 + workers)
        self.url = f"http://{HOST}:{api}"
        self.settings: Mapping[str, str] = {
            "IMAGE_QUEUE_URL": f"redis://{HOST}:{server}",
            "IMAGE_FILES_URL": (folder / "files").as_uri(),
            "IMAGE_QUEUE_LIMIT": "10000",
            "IMAGE_LISTEN": f"{HOST}:{api}",
            "IMAGE_OPERATIONS_LISTEN": f"{HOST}:0",
            "IMAGE_WORKERS": "1",
            "TMPDIR": str(folder),
            **settings,
        }
        self.operations = {
            f"worker-{number}": f"http://{HOST}:{port}" for number, port in enumerate(of_workers)
        }
        self.valkey = Node(folder / "valkey", server, *durable(folder / "valkey", server))

    async def start(self, name: str) -> None:
        """Start a part; `ready` says when it answers."""
        if name == "valkey":
            await asyncio.to_thread(self.valkey.start)
            return
        command = "serve" if name == "api" else "work"
        operations = self.operations.get(name, "").removeprefix("http://")
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "image_service", command),
                env={
                    **os.environ,
                    **self.settings,
                    "IMAGE_WORKER_OPERATIONS_LISTEN": operations or f"{HOST}:0",
                },
                stdout=log,
                stderr=log,
            )

    async def start_all(self) -> None:
        """Start everything and wait until it answers."""
        await self.start("valkey")
        await asyncio.to_thread(until, self.valkey.answers, "job server")
        for name in self.names[:-1]:
            await self.start(name)
        await self.ready()

    async def ready(self) -> None:
        """Return when API and workers answer."""
        async with ClientSession() as session:
            for url in (self.url, *self.operations.values()):
                while not await _is_ready(session, url):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)

    def pid(self, name: str) -> int:
        """The process of a part."""
        return self._processes[name].pid

    async def kill(self, name: str) -> None:
        """End a part the hard way."""
        if name == "valkey":
            await asyncio.to_thread(self.valkey.kill)
            return
        process = self._processes.pop(name)
        process.kill()
        await process.wait()

    async def stop(self, name: str) -> int:
        """Ask a part to end; its exit code."""
        process = self._processes.pop(name)
        process.terminate()
        return await process.wait()

    async def close(self) -> None:
        """End everything."""
        for name in list(self._processes):
            await self.kill(name)
        await asyncio.to_thread(self.valkey.close)

    def log(self, name: str) -> str:
        """What a part has said so far, all its lives together."""
        return (self.folder / f"{name}.log").read_text("utf-8")


async def _is_ready(session: ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except (ClientError, OSError):
        return False


async def submit(session: ClientSession, url: str, image: bytes, **fields: str) -> str | None:
    """The id of an accepted job; None when the service could not take it.

    Raises:
        AssertionError: it was refused in a way that no fault explains.
        ClientError, OSError: no answer came.
    """
    form = FormData({"scale": "2", **fields})
    form.add_field("file", io.BytesIO(image), filename="a.png")
    async with session.post(f"{url}{UPSCALE}", data=form, headers=identity()) as answer:
        assert answer.status in {202, 503}, await answer.text()
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) > 0
            return None
        return str((await answer.json())["job_id"])
