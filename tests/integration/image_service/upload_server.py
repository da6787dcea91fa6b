"""A server that takes forms the way the service does and keeps their files."""

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from image_service.caller import caller_of
from image_service.clock import new_job_id, new_request_id
from image_service.middleware import context_middleware, error_middleware
from image_service.readiness import Readiness
from image_service.storage.base import FileStore
from image_service.upload import receive


def upload_app(files: FileStore, spool: Path) -> web.Application:
    """Keeps the file of each form."""

    async def upload(request: web.Request) -> web.Response:
        job_id = new_job_id()
        path = spool / job_id
        received = await receive(request, caller_of(request.headers), path)
        try:
            await files.keep_upload(job_id, path)
        finally:
            await asyncio.to_thread(path.unlink)
        return web.json_response({"size": received.size})

    middlewares = [context_middleware(Readiness(), new_request_id), error_middleware]
    app = web.Application(middlewares=middlewares, client_max_size=sys.maxsize)
    app.router.add_post("/", upload)
    return app
