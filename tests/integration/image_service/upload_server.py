"""A server that takes forms the way the service does and keeps their files; run as a process.

Arguments: the folder of the store and the spool folder. Writes its port to standard output.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from image_service.caller import caller_of
from image_service.clock import new_job_id, new_request_id
from image_service.middleware import context_middleware, error_middleware
from image_service.readiness import Readiness
from image_service.storage.base import FileStore
from image_service.storage.objects import open_files
from image_service.upload import receive


def upload_app(files: FileStore, spool: Path) -> web.Application:
    """Keeps the file of each form, and forgets it only when told to by the query `forget`."""

    async def upload(request: web.Request) -> web.Response:
        job_id = new_job_id()
        path = spool / job_id
        received = await receive(request, caller_of(request.headers), path)
        try:
            await files.keep_upload(job_id, path)
        finally:
            await asyncio.to_thread(path.unlink)
        if "forget" in request.query:
            await files.forget(job_id)
        return web.json_response({"size": received.size})

    middlewares = [context_middleware(Readiness(), new_request_id), error_middleware]
    app = web.Application(middlewares=middlewares, client_max_size=sys.maxsize)
    app.router.add_post("/", upload)
    return app


async def _serve(url: str, spool: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runner = web.AppRunner(upload_app(open_files(url), spool), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1], Path(sys.argv[2])))
