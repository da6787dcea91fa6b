"""The routes: parse, call, reply. What a job is and does is the engine's business."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MethodType
from typing import Final

from aiohttp import HttpVersion11, web

from image_service.caller import caller_of
from image_service.core.headers import is_idempotency_key, preferred_wait_s
from image_service.core.spec import FieldProblem
from image_service.engine import Engine, Order
from image_service.errors import (
    ApiException,
    BadRequestException,
    FilesError,
    InternalErrorException,
    InvalidImageException,
    JobFailedException,
    JobNotReadyException,
    NotFoundException,
    ValidationException,
)
from image_service.jobs import Job, JobError, JobErrorCode, JobStatus, Result
from image_service.limits import rate_limit
from image_service.middleware import REQUEST_ID
from image_service.observe import ctx_logger
from image_service.readiness import Readiness
from image_service.reply import (
    JOBS_PATH,
    ImageReply,
    job_document,
    job_path,
    limits_document,
    result_path,
)
from image_service.storage.base import FileStore
from image_service.upload import Upload, receive

_ASSETS: Final = {"docs.js": "text/javascript", "docs.css": "text/css"}
_DOCS_HEADERS: Final = {
    # Images come back as blobs. Nothing is loaded from elsewhere, sent elsewhere or framed.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is answered by whom. `route` is the name that the sidecar's policy has for it."""

    route: str
    method: str
    path: str
    handler: Callable[["Routes", web.Request], Awaitable[web.StreamResponse]]


class Routes:
    """The handlers of every route."""

    def __init__(self, engine: Engine, *, files: FileStore, readiness: Readiness) -> None:
        self._engine = engine
        self._files = files
        self._readiness = readiness

    def register(self, router: web.UrlDispatcher) -> None:
        """Have the router call the handlers."""
        for it in self.endpoints():
            handler = MethodType(it.handler, self)
            router.add_route(it.method, it.path, handler, expect_handler=_meet_expectation)

    @classmethod
    def endpoints(cls) -> Sequence[Endpoint]:
        """Everything that is answered."""
        job = f"{JOBS_PATH}/{{job_id}}"
        return [
            Endpoint("limits", "GET", "/api/v1/images/limits", cls.limits),
            Endpoint("upscale", "POST", "/api/v1/images/upscale", cls.upscale),
            Endpoint("job", "GET", job, cls.job),
            Endpoint("job", "DELETE", job, cls.discard),
            Endpoint("job-result", "GET", f"{job}/result", cls.result),
            Endpoint("job-result", "HEAD", f"{job}/result", cls.result),
            Endpoint("health", "GET", "/healthz", cls.healthz),
            Endpoint("health", "GET", "/readyz", cls.readyz),
            Endpoint("docs", "GET", "/openapi.json", cls.openapi),
            Endpoint("docs", "GET", "/docs", cls.docs),
            Endpoint("docs", "GET", "/docs/{asset}", cls.docs_asset),
        ]

    async def limits(self, request: web.Request) -> web.StreamResponse:
        """What the caller may use, and how much is left."""
        return _momentary(limits_document(caller_of(request.headers)))

    async def upscale(self, request: web.Request) -> web.StreamResponse:
        """Take an image; answer with the job, or with the result when that is wished and ready."""
        caller = caller_of(request.headers)
        order = Order(caller.subject, request[REQUEST_ID], _idempotency_key(request))

        async def received(path: Path) -> Upload:
            return await receive(request, caller, path)

        job = await self._engine.submit(order, received)
        wait_s = preferred_wait_s(",".join(request.headers.getall("Prefer", [])))
        if wait_s is not None:
            job = await self._engine.settled(job, timeout_s=wait_s)
        if wait_s is None or not job.status.is_final:
            return _accepted(job)
        reply = self._image(request, job, _result_now(job))
        headers = {
            "Preference-Applied": f"wait={wait_s}",
            "Content-Location": result_path(job.job_id),
        }
        try:
            return await reply.whole(headers)
        except FilesError as error:
            # The job is done all the same, and its owner is told where.
            ctx_logger.warning("Result cannot be read", job_id=job.job_id, reason=str(error))
            return _accepted(job)

    @rate_limit(requests=120, window=60, name="jobs")
    async def job(self, request: web.Request) -> web.StreamResponse:
        """How a job stands."""
        return _momentary(job_document(await self._own_job(request)))

    @rate_limit(requests=120, window=60, name="jobs")
    async def result(self, request: web.Request) -> web.StreamResponse:
        """The image a job made."""
        job = await self._own_job(request)
        return await self._image(request, job, _result_of(job)).conditional()

    @rate_limit(requests=120, window=60, name="jobs")
    async def discard(self, request: web.Request) -> web.StreamResponse:
        """Cancel or forget a job."""
        caller = caller_of(request.headers)
        await self._engine.discard(caller.subject, request.match_info["job_id"])
        return web.Response(status=204)

    async def healthz(self, _request: web.Request) -> web.StreamResponse:
        """The process lives."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.StreamResponse:
        """Whether new work is welcome."""
        if self._readiness.draining:
            return web.json_response({"status": "draining"}, status=503)
        return web.json_response({"status": "ready"})

    async def openapi(self, _request: web.Request) -> web.StreamResponse:
        """The contract, for machines."""
        return web.Response(text=_packaged("openapi.json"), content_type="application/json")

    async def docs(self, _request: web.Request) -> web.StreamResponse:
        """The contract, for people."""
        page = _packaged("docs.html")
        return web.Response(text=page, content_type="text/html", headers=_DOCS_HEADERS)

    async def docs_asset(self, request: web.Request) -> web.StreamResponse:
        """What the page for people is made of."""
        name = request.match_info["asset"]
        if name not in _ASSETS:
            raise NotFoundException
        return web.Response(text=_packaged(name), content_type=_ASSETS[name], headers=_DOCS_HEADERS)

    async def _own_job(self, request: web.Request) -> Job:
        caller = caller_of(request.headers)
        return await self._engine.find(caller.subject, request.match_info["job_id"])

    def _image(self, request: web.Request, job: Job, result: Result) -> ImageReply:
        return ImageReply(request, job_id=job.job_id, result=result, files=self._files)


async def _meet_expectation(request: web.Request) -> None:
    """Say 100 to who waits for it. Other expectations may be passed over (RFC 9110, 10.1.1)."""
    expected = request.headers.get("Expect", "").lower() == "100-continue"
    if expected and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # Interim bytes are not part of the answer: nothing of that has been sent.
        request.writer.output_size = 0


@cache
def _packaged(name: str) -> str:
    return resources.files("image_service").joinpath("docs", name).read_text("utf-8")


def _idempotency_key(request: web.Request) -> str | None:
    values = request.headers.getall("Idempotency-Key", [])
    if not values:
        return None
    if len(values) > 1 or not is_idempotency_key(values[0]):
        raise BadRequestException("Idempotency-Key must be one value of 1 to 255 visible letters.")
    return values[0]


def _accepted(job: Job) -> web.Response:
    answer = _momentary(job_document(job), status=202)
    answer.headers["Location"] = job_path(job.job_id)
    return answer


def _momentary(document: Mapping[str, object], *, status: int = 200) -> web.Response:
    """What is true now: no cache may keep it and answer with it later."""
    return web.json_response(document, status=status, headers={"Cache-Control": "no-store"})


def _result_of(job: Job) -> Result:
    """The result of a job that its owner asks about later."""
    if job.result is not None:
        return job.result
    if not job.status.is_final:
        raise JobNotReadyException(job_id=job.job_id)
    raise _failure(job)


def _result_now(job: Job) -> Result:
    """The result of a job that its owner waited for: its error is the request's error."""
    if job.result is not None:
        return job.result
    if job.error is None:
        raise _failure(job)
    raise _error_now(job.error)


def _error_now(error: JobError) -> ApiException:
    match error.code:
        case JobErrorCode.INVALID_IMAGE:
            return InvalidImageException(error.message)
        case JobErrorCode.VALIDATION_ERROR:
            return ValidationException([FieldProblem("format", error.message)])
        case JobErrorCode.INTERNAL_ERROR:
            return InternalErrorException()


def _failure(job: Job) -> JobFailedException:
    details: dict[str, object] = {"job_id": job.job_id}
    if job.status is JobStatus.CANCELLED or job.error is None:
        return JobFailedException("The job was cancelled.", details=details)
    error = {"code": job.error.code.value, "message": job.error.message}
    return JobFailedException("The job failed.", details=details | {"error": error})
