"""The composition root: the only module that names concrete stores, sandboxes and routes together.

Building opens nothing and starts nothing; `serve.py` and `work.py` do that.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from image_service.clock import Clock, new_job_id, new_owner_id, new_request_id
from image_service.engine import Engine
from image_service.errors import ConfigurationError, StoreError
from image_service.http import Routes
from image_service.jobs import MAX_ATTEMPTS
from image_service.metrics import QUEUE_NAME, Metrics
from image_service.middleware import context_middleware, error_middleware, trace_middleware
from image_service.operations import Operations
from image_service.readiness import Readiness
from image_service.sandbox import Sandbox
from image_service.settings import Settings, default_files_folder, default_files_url
from image_service.storage.base import FileStore, JobStore
from image_service.storage.objects import open_files
from image_service.storage.redis.client import open_client
from image_service.storage.redis.durability import check_durability
from image_service.storage.redis.jobs import RedisJobStore
from image_service.storage.redis.queue import RedisQueue
from image_service.tracing import Tracing, tracing_to
from image_service.upkeep import Upkeep
from image_service.worker import PAUSES_S, Worker
from image_service.workspace import private_folder

MAX_JOBS: Final = 250_000
# The largest allowed picture, 268 megapixels, was measured at 3.4 GB (GIF) and 61 s (PNG). Only
# WebP with transparency would take more, 8 GB: it is refused with advice instead.
TRANSFORM_MEMORY_BYTES: Final = 5 * 1024**3
TRANSFORM_DEADLINE_S: Final = 300.0
INSPECTION_MEMORY_BYTES: Final = 2 * 1024**3
INSPECTION_DEADLINE_S: Final = 10.0

_PROBE_S: Final = 0.5
# Around every transform: fetching, keeping, pauses, stores that take their time.
_RUN_S: Final = MAX_ATTEMPTS * (TRANSFORM_DEADLINE_S + 60.0) + sum(PAUSES_S)


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of the API process that have a life, for `serve.py` to start and stop."""

    web_app: web.Application
    operations_app: web.Application
    stores: "Stores"
    sandboxes: Sequence[Sandbox]
    readiness: Readiness
    tracing: Tracing


@dataclass(frozen=True, slots=True)
class Workshop:
    """The parts of a worker process that have a life, for `work.py` to start and stop."""

    operations_app: web.Application
    stores: "Stores"
    worker: Worker
    upkeep: Upkeep
    sandboxes: Sequence[Sandbox]
    readiness: Readiness
    tracing: Tracing


def build(settings: Settings, *, clock: Clock, folder: Path) -> Service:
    """Put the API together. Uploads arrive in `folder`, which must exist.

    Raises:
        ConfigurationError: a store's address cannot be used.
    """
    readiness, metrics = Readiness(), Metrics("api")
    stores = _stores(settings)
    tracing = tracing_to(settings.traces_go_to, service="image_service", clock=clock)
    inspector = Sandbox(deadline_s=INSPECTION_DEADLINE_S, memory_bytes=INSPECTION_MEMORY_BYTES)
    engine = Engine(
        jobs=stores.jobs,
        files=stores.files,
        queue=stores.queue,
        inspector=inspector,
        readiness=readiness,
        metrics=metrics,
        tracing=tracing,
        clock=clock,
        new_job_id=new_job_id,
        spool=folder,
    )
    routes = Routes(engine, files=stores.files, readiness=readiness)

    async def details() -> Mapping[str, object]:
        waiting = await _waiting(stores.jobs)
        metrics.queue_depth(QUEUE_NAME, float("nan") if waiting is None else waiting)
        return {
            "requests_in_hand": readiness.in_hand,
            "jobs_waiting": waiting,
            "store_answers": waiting is not None,
        }

    return Service(
        web_app=_web_app(routes, readiness, tracing),
        operations_app=Operations(metrics, readiness=readiness, details=details).web_app(),
        stores=stores,
        sandboxes=(inspector,),
        readiness=readiness,
        tracing=tracing,
    )


def build_workshop(settings: Settings, *, clock: Clock, folder: Path) -> Workshop:
    """Put a worker process together. Images are worked on in `folder`, which must exist.

    Raises:
        ConfigurationError: a store's address cannot be used.
    """
    readiness, metrics = Readiness(), Metrics("worker")
    stores = _stores(settings)
    tracing = tracing_to(settings.traces_go_to, service="image_worker", clock=clock)
    sandboxes = [
        Sandbox(deadline_s=TRANSFORM_DEADLINE_S, memory_bytes=TRANSFORM_MEMORY_BYTES)
        for _ in range(settings.workers)
    ]
    worker = Worker(
        sandboxes,
        queue=stores.queue,
        jobs=stores.jobs,
        files=stores.files,
        clock=clock,
        metrics=metrics,
        tracing=tracing,
        folder=folder,
    )

    async def details() -> Mapping[str, object]:
        return {
            "jobs_running": worker.running,
            "store_answers": await _waiting(stores.jobs) is not None,
        }

    return Workshop(
        operations_app=Operations(metrics, readiness=readiness, details=details).web_app(),
        stores=stores,
        worker=worker,
        upkeep=Upkeep(jobs=stores.jobs, files=stores.files, queue=stores.queue, clock=clock),
        sandboxes=sandboxes,
        readiness=readiness,
        tracing=tracing,
    )


@dataclass(frozen=True, slots=True)
class Stores:
    """What every process of the service shares."""

    jobs: JobStore
    files: FileStore
    queue: RedisQueue
    risks: Callable[[], Awaitable[Sequence[str]]]

    async def close(self) -> None:
        """Let go of every connection."""
        await self.queue.close()
        await self.jobs.close()


def _stores(settings: Settings) -> Stores:
    try:
        if settings.files_url.value == default_files_url():
            private_folder(default_files_folder())
        files = open_files(settings.files_url.value)
    except ValueError as error:
        raise ConfigurationError([f"IMAGE_FILES_URL: {error}"]) from None
    try:
        client, waiting_client = (open_client(settings.queue_url.value) for _ in range(2))
    except ValueError as error:
        raise ConfigurationError([f"IMAGE_QUEUE_URL: {error}"]) from None
    return Stores(
        jobs=RedisJobStore(client, queue_limit=settings.queue_limit, max_jobs=MAX_JOBS),
        files=files,
        queue=RedisQueue(waiting_client, name=QUEUE_NAME, owner=new_owner_id(), run_s=_RUN_S),
        risks=lambda: check_durability(client),
    )


async def _waiting(jobs: JobStore) -> int | None:
    """How many jobs wait; None when the store does not answer while a probe has patience."""
    try:
        async with asyncio.timeout(_PROBE_S):
            return await jobs.waiting()
    except (StoreError, TimeoutError):
        return None


def _web_app(routes: Routes, readiness: Readiness, tracing: Tracing) -> web.Application:
    traced = [trace_middleware(tracing)] if tracing.is_on else []
    application = web.Application(
        middlewares=[context_middleware(readiness, new_request_id), *traced, error_middleware],
        # Bodies are counted against the caller's own limit while they stream.
        client_max_size=sys.maxsize,
    )
    routes.register(application.router)
    return application
