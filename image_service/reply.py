"""Our values → HTTP answers: the job document, the limits document, the image itself."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from image_service.caller import Caller
from image_service.core.bounds import MAX_SIDE, MIN_SIDE
from image_service.core.formats import ImageFormat
from image_service.core.headers import (
    ByteRange,
    RangeNotSatisfiableError,
    etag_is_named,
    etag_matches,
    requested_range,
)
from image_service.errors import (
    FilesError,
    JobNotFoundException,
    PreconditionFailedException,
    RangeNotSatisfiableException,
)
from image_service.jobs import Job, Result
from image_service.observe import ctx_logger, rfc3339
from image_service.storage.base import FileStore

JOBS_PATH: Final = "/api/v1/jobs"


def job_path(job_id: str) -> str:
    """Where a job is found."""
    return f"{JOBS_PATH}/{job_id}"


def result_path(job_id: str) -> str:
    """Where a job's result is found."""
    return f"{JOBS_PATH}/{job_id}/result"


def limits_document(caller: Caller) -> Mapping[str, object]:
    """What the caller may use and how much of it is left."""
    return {
        "tier": caller.tier,
        "limits": [
            {
                "name": limit.name,
                "limit": limit.limit,
                "window_seconds": limit.window_seconds,
                "remaining": limit.remaining,
                "reset_seconds": limit.reset_seconds,
            }
            for limit in caller.limits
        ],
        "max_file_bytes": caller.max_file_bytes,
        "max_body_bytes": caller.max_body_bytes,
        "image": {
            "min_side": MIN_SIDE,
            "max_side": MAX_SIDE,
            "formats": [form.media_type for form in ImageFormat],
        },
    }


def job_document(job: Job) -> Mapping[str, object]:
    """The job as its owner sees it."""
    document: dict[str, object] = {
        "job_id": job.job_id,
        "status": job.status.value,
        "progress": job.progress,
        "created_at": rfc3339(job.created_ms),
        "started_at": _moment(job.started_ms),
        "finished_at": _moment(job.finished_ms),
        "links": {"self": job_path(job.job_id), "result": result_path(job.job_id)},
    }
    if job.error is not None:
        document["error"] = {"code": job.error.code.value, "message": job.error.message}
    return document


def _moment(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


class ImageReply:
    """Answers one request with a result's bytes, or the part of them it asked for."""

    def __init__(
        self, request: web.Request, *, job_id: str, result: Result, files: FileStore
    ) -> None:
        self._request = request
        self._job_id = job_id
        self._result = result
        self._files = files

    async def conditional(self) -> web.StreamResponse:
        """Answer a GET or HEAD for the result: preconditions first, then ranges (RFC 9110, 13.2.2).

        Raises:
            PreconditionFailedException: `If-Match` names other results.
            RangeNotSatisfiableException: no byte of the requested range exists.
            JobNotFoundException: the result was deleted meanwhile.
        """
        etag = self._result.etag
        wanted = self._lines("If-Match")
        if wanted is not None and not etag_is_named(wanted, etag):
            raise PreconditionFailedException(etag=etag)
        known = self._lines("If-None-Match")
        if known is not None and etag_matches(known, etag):
            return web.Response(status=304, headers=self._validators())
        part = self._part()
        if part is None:
            return await self.whole({})
        headers = {"Content-Range": part.content_range(self._result.size)}
        return await self._stream(206, headers, part)

    async def whole(self, headers: Mapping[str, str]) -> web.StreamResponse:
        """Answer with all of it.

        Raises:
            JobNotFoundException: the result was deleted meanwhile.
        """
        return await self._stream(200, headers, ByteRange(0, self._result.size))

    def _lines(self, name: str) -> str | None:
        """The header's value: a list may come on several lines (RFC 9110, section 5.3)."""
        lines = self._request.headers.getall(name, [])
        return ",".join(lines) if lines else None

    def _part(self) -> ByteRange | None:
        # Ranges are defined for GET alone (RFC 9110, section 14.2).
        wanted = self._lines("Range")
        same = self._request.headers.get("If-Range", self._result.etag) == self._result.etag
        if wanted is None or self._request.method != "GET" or not same:
            return None
        try:
            return requested_range(wanted, self._result.size)
        except RangeNotSatisfiableError as error:
            raise RangeNotSatisfiableException(size=self._result.size) from error

    async def _stream(
        self, status: int, headers: Mapping[str, str], part: ByteRange
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={**self._validators(), **headers})
        response.content_type = self._result.media_type
        response.content_length = part.length
        if self._request.method == "HEAD":
            await response.prepare(self._request)
            return response
        pieces = self._files.read(self._result, start=part.start, length=part.length)
        try:
            # The first piece is read before the status is out: a missing result is still a 404.
            piece = await anext(pieces, b"")
            await response.prepare(self._request)
            while piece:
                await response.write(piece)
                piece = await anext(pieces, b"")
        except FileNotFoundError as error:
            raise JobNotFoundException(job_id=self._job_id) from error
        except FilesError as error:
            if not response.prepared:
                raise
            # Half of an image is under way: only a broken connection says that it is no whole.
            ctx_logger.warning("Result cut short", job_id=self._job_id, reason=str(error))
            raise ConnectionError("the result cannot be read to its end") from error
        return response

    def _validators(self) -> Mapping[str, str]:
        return {
            "ETag": self._result.etag,
            "Cache-Control": "private",
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
        }
