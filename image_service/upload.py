"""The multipart body → a spooled file and the form's fields, counted while they stream.

Memory stays bounded whatever arrives; nothing here looks at what the file contains.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from aiohttp import BodyPartReader, ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from image_service.caller import Caller
from image_service.core.spec import FIELDS, MAX_FIELD_BYTES, FieldProblem
from image_service.errors import (
    BadRequestException,
    FilesError,
    PayloadTooLargeException,
    RequestTimeoutException,
    UnsupportedMediaTypeException,
)
from image_service.workspace import opened

RECEIVE_S: Final = 300.0
"""How long a request may take to arrive, as in Envoy."""

_FILE: Final = "file"
_BUFFER_BYTES: Final = 256 * 1024
_MAX_PARTS: Final = 32
_SHOWN_NAME: Final = 64


@dataclass(slots=True)
class Upload:
    """What arrived. `digest` is the SHA-256 of the file; it is whole only without problems."""

    path: Path
    size: int = 0
    digest: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    problems: list[FieldProblem] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """A digest of everything the client asked for."""
        asked = "".join(f"{name}={self.fields.get(name, '')}\n" for name in FIELDS)
        return hashlib.sha256(f"{asked}{self.digest}".encode()).hexdigest()


async def receive(request: web.Request, caller: Caller, path: Path) -> Upload:
    """Read the whole form, spooling its file to `path`.

    Problems of single fields are collected in the upload. Whatever goes wrong, the client's
    going away included, nothing is left at `path`.

    Raises:
        UnsupportedMediaTypeException: not a multipart form.
        BadRequestException: a form, but a broken one.
        PayloadTooLargeException: the file is larger than the caller's limit.
        RequestTimeoutException: it did not arrive in time.
        FilesError: our disk has no room for it.
    """
    if not _is_form(request):
        raise UnsupportedMediaTypeException
    if (request.content_length or 0) > caller.max_body_bytes:
        _refuse_size(caller)
    try:
        return await _received_in_time(request, caller, path)
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise


async def _received_in_time(request: web.Request, caller: Caller, path: Path) -> Upload:
    try:
        async with asyncio.timeout(RECEIVE_S):
            return await _Receiver(request, caller, path).receive()
    except TimeoutError as error:
        raise RequestTimeoutException from error
    except (ValueError, RuntimeError, AssertionError, HttpProcessingError, ClientError) as error:
        # The multipart reader's ways of saying that the bytes are not a form.
        raise BadRequestException("The multipart body is malformed.") from error
    except ConnectionError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FilesError(f"receiving a file failed: {reason}") from error


def _is_form(request: web.Request) -> bool:
    try:
        return request.content_type == "multipart/form-data"
    except Exception:  # noqa: BLE001 - the standard library's parser stumbles in many ways
        return False


class _Receiver:
    """Reads one form, part after part."""

    def __init__(self, request: web.Request, caller: Caller, path: Path) -> None:
        self._request = request
        self._caller = caller
        self._upload = Upload(path)
        self._seen_file = False
        self._overhead = 0

    async def receive(self) -> Upload:
        reader = await self._request.multipart()
        parts = 0
        while (part := await reader.next()) is not None:
            parts += 1
            if parts > _MAX_PARTS or not isinstance(part, BodyPartReader):
                raise BadRequestException("The form has too many or nested parts.")
            await self._take(part)
        if not self._seen_file:
            self._problem(_FILE, "is required", "missing")
        return self._upload

    async def _take(self, part: BodyPartReader) -> None:
        name = part.name or ""
        if name == _FILE and not self._seen_file:
            self._seen_file = True
            await self._spool(part)
            return
        value = await self._short_value(part)
        if name == _FILE or name in self._upload.fields:
            self._problem(name, "is given more than once", "duplicate")
        elif name not in FIELDS:
            self._problem(name[:_SHOWN_NAME], "is not a field of this form", "unknown_field")
        elif value is None:
            self._problem(name, f"is longer than {MAX_FIELD_BYTES} bytes", "too_long")
        else:
            self._upload.fields[name] = value

    def _problem(self, name: str, message: str, kind: str) -> None:
        self._upload.problems.append(FieldProblem(name, message, kind))

    async def _spool(self, part: BodyPartReader) -> None:
        digest = hashlib.sha256()
        buffer = bytearray()
        with await opened(self._upload.path) as file:
            while chunk := await part.read_chunk():
                self._upload.size += len(chunk)
                if self._upload.size > self._caller.max_file_bytes:
                    _refuse_size(self._caller)
                digest.update(chunk)
                buffer += chunk
                if len(buffer) >= _BUFFER_BYTES:
                    full, buffer = buffer, bytearray()  # handed over: a copy costs memory
                    await asyncio.to_thread(file.write, full)
            await asyncio.to_thread(file.write, buffer)
        self._upload.digest = digest.hexdigest()

    async def _short_value(self, part: BodyPartReader) -> str | None:
        """The field's text; None when it is too long, but read to its end all the same."""
        value = b""
        while chunk := await part.read_chunk():
            self._overhead += len(chunk)
            if self._overhead + self._upload.size > self._caller.max_body_bytes:
                _refuse_size(self._caller)
            value = (value + chunk)[: MAX_FIELD_BYTES + 1]
        return value.decode("utf-8", "replace") if len(value) <= MAX_FIELD_BYTES else None


def _refuse_size(caller: Caller) -> NoReturn:
    raise PayloadTooLargeException(tier=caller.tier, max_file_bytes=caller.max_file_bytes)
