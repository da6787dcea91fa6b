"""The composition root: the only module that names concrete stores, sandboxes and routes together.

Building opens nothing and starts nothing; `serve.py` does that.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from image_service.clock import Clock, new_job_id, new_request_id
from image_service.engine import Engine
from image_service.http import Routes
from image_service.metrics import QUEUE_NAME, Metrics
from image_service.middleware import context_middleware, error_middleware
from image_service.operations import Operations
from image_service.readiness import Readiness
from image_service.sandbox import Sandbox
from image_service.settings import Settings
from image_service.storage.folder import FolderResultStore
from image_service.storage.memory import MemoryJobStore
from image_service.worker import Worker

MAX_JOBS: Final = 10_000
MAX_RESULT_BYTES: Final = 4 * 1024**3
# The largest allowed picture, 268 megapixels, was measured at 3.4 GB (GIF) and 61 s (PNG). Only
# WebP with transparency would take more, 8 GB: it is refused with advice instead.
TRANSFORM_MEMORY_BYTES: Final = 5 * 1024**3
TRANSFORM_DEADLINE_S: Final = 300.0
INSPECTION_MEMORY_BYTES: Final = 2 * 1024**3
INSPECTION_DEADLINE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that have a life, for `serve.py` to start and stop."""

    web_app: web.Application
    operations_app: web.Application
    engine: Engine
    worker: Worker
    sandboxes: Sequence[Sandbox]
    readiness: Readiness


def build(settings: Settings, *, clock: Clock, folder: Path) -> Service:
    """Put the service together. Uploads and results live in `folder`, which must exist."""
    readiness, metrics = Readiness(), Metrics()
    jobs = MemoryJobStore(max_jobs=MAX_JOBS)
    results = FolderResultStore(folder, max_bytes=MAX_RESULT_BYTES)
    inspector = Sandbox(deadline_s=INSPECTION_DEADLINE_S, memory_bytes=INSPECTION_MEMORY_BYTES)
    transformers = [
        Sandbox(deadline_s=TRANSFORM_DEADLINE_S, memory_bytes=TRANSFORM_MEMORY_BYTES)
        for _ in range(settings.workers)
    ]
    worker = Worker(
        transformers,
        jobs=jobs,
        results=results,
        clock=clock,
        metrics=metrics,
        queue_limit=settings.queue_limit,
    )
    metrics.watch_queue(QUEUE_NAME, lambda: worker.waiting)
    engine = Engine(
        jobs=jobs,
        results=results,
        worker=worker,
        inspector=inspector,
        readiness=readiness,
        metrics=metrics,
        clock=clock,
        new_job_id=new_job_id,
        spool=folder,
    )
    routes = Routes(engine, results=results, readiness=readiness)
    return Service(
        web_app=_web_app(routes, readiness),
        operations_app=Operations(metrics, readiness=readiness, worker=worker).web_app(),
        engine=engine,
        worker=worker,
        sandboxes=(inspector, *transformers),
        readiness=readiness,
    )


def _web_app(routes: Routes, readiness: Readiness) -> web.Application:
    application = web.Application(
        middlewares=[context_middleware(readiness, new_request_id), error_middleware],
        # Bodies are counted against the caller's own limit while they stream.
        client_max_size=sys.maxsize,
    )
    routes.register(application.router)
    return application
