"""The image service in one event loop: an API and a worker over a real Valkey and a folder."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image_service.app import Service, Workshop, build, build_workshop
from image_service.clock import Clock, SystemClock
from image_service.serve import running
from image_service.settings import Address, Settings
from image_service.work import at_work

LOOPBACK: Final = Address("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class House:
    """Both processes, where each spools its images, and where files are kept."""

    service: Service
    workshop: Workshop
    spool: Path
    bench: Path
    kept: Path
    stores: Mapping[str, str]

    @classmethod
    def build(cls, stores: Mapping[str, str], folder: Path, clock: Clock | None = None) -> "House":
        """Put both together; `stores` is what an operator would set."""
        settings = Settings.load({"IMAGE_WORKERS": "1", **stores})
        spool, bench = folder / "spool", folder / "bench"
        spool.mkdir(exist_ok=True)
        bench.mkdir(exist_ok=True)
        clock = clock or SystemClock()
        return cls(
            service=build(settings, clock=clock, folder=spool),
            workshop=build_workshop(settings, clock=clock, folder=bench),
            spool=spool,
            bench=bench,
            kept=Path(settings.files_url.value.removeprefix("file://")),
            stores=stores,
        )

    @classmethod
    def build_again(cls, house: "House") -> "House":
        """Put new processes in the place of those that have ended, over the same stores."""
        return cls.build(house.stores, house.spool.parent)

    @asynccontextmanager
    async def living(self) -> AsyncIterator[Address]:
        """Have both at work while the block lasts; the API answers at the address."""
        async with at_work(self.workshop), running(self.service, LOOPBACK) as address:
            yield address

    async def idle(self) -> None:
        """Return when nothing waits and nothing runs."""
        while self.workshop.worker.running or await self.service.stores.jobs.waiting():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    def files(self) -> list[str]:
        """Every file of either process or kept for a job, by its last two names."""
        found = [
            path
            for folder in (self.spool, self.bench, self.kept)
            for path in folder.rglob("*")
            if path.is_file()
        ]
        return sorted(f"{path.parent.name}/{path.name}" for path in found)
