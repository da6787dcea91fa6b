"""Files of jobs, in a bucket or a folder: `jobs/{job_id}/upload`, `jobs/{job_id}/result-{attempt}`.

Credentials come from the environment, the way the store's own tools take them. What a store says
when it fails may quote requests, so none of it gets into an error of ours.
"""

import asyncio
import hashlib
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import GCSStore, LocalStore, ObjectStore, S3Store

from image_service.errors import FilesError
from image_service.jobs import Result
from image_service.storage.base import FileStore
from image_service.workspace import opened

if TYPE_CHECKING:
    from obstore.store import RetryConfig

PUTS_AT_ONCE: Final = 2
"""How many files are copied into the store at the same time; more wait."""

_PIECE_BYTES: Final = 256 * 1024
_PART_BYTES: Final = 5 * 1024 * 1024  # S3 and Google take no smaller parts
_LISTED_AT_ONCE: Final = 1000

_FORMS: Final = "must be a folder (/PATH or file:///PATH), or a bucket (gs://BUCKET/PREFIX or s3://BUCKET/PREFIX)"
# Not as client options: those would make the store forget the environment's, an emulator's say.
# The whole of a request may take long, because clients fetch large results slowly.
_CLIENT: Final = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1h"}
_RETRY: Final["RetryConfig"] = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PREFIX: Final = re.compile(r"(?!\.\.?(/|$))[\w.-]+(/(?!\.\.?(/|$))[\w.-]+)*", re.ASCII)

_JOB_ID: Final = re.compile(r"[0-9a-f]{32}")
_RESULT: Final = re.compile(r"jobs/[0-9a-f]{32}/result-[0-9]+")
_FILE: Final = re.compile(r"jobs/([0-9a-f]{32})/[^/]+")
_OS_ERROR: Final = re.compile(r"\(os error ([0-9]+)\)")


class ObjectFileStore:
    """The `FileStore` over whatever `obstore` reaches.

    An upload that was broken off may leave parts in a bucket that nobody sees and somebody pays
    for: buckets need a lifecycle rule against those.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._putting = asyncio.Semaphore(PUTS_AT_ONCE)

    async def keep_upload(self, job_id: str, upload: Path) -> None:
        """See `FileStore.keep_upload`."""
        await self._put(_upload_path(job_id), upload)

    async def fetch_upload(self, job_id: str, target: Path) -> None:
        """See `FileStore.fetch_upload`. Nothing is left at `target` unless all of it is."""
        path = _upload_path(job_id)
        try:
            with _failures("reading a file"):
                found = await self._store.get_async(path)
                with await opened(target) as file:
                    async for piece in found.stream(_PIECE_BYTES):
                        await asyncio.to_thread(file.write, piece)
        except BaseException:
            await asyncio.to_thread(target.unlink, missing_ok=True)
            raise

    async def keep_result(
        self, job_id: str, attempt: int, produced: Path, media_type: str
    ) -> Result:
        """See `FileStore.keep_result`."""
        path = f"{_job_path(job_id)}/result-{attempt}"
        size, digest = await asyncio.to_thread(_measured, produced)
        await self._put(path, produced)
        return Result(path, size, media_type, f'"{digest[:32]}"')

    async def read(self, result: Result, *, start: int, length: int) -> AsyncIterator[bytes]:
        """See `FileStore.read`."""
        path = _result_path(result)
        with _failures("reading a file"):
            if length == 0:  # stores know no empty range
                await self._store.head_async(path)
                return
            found = await self._store.get_async(path, options={"range": (start, start + length)})
            async for piece in found.stream(_PIECE_BYTES):
                yield bytes(piece)

    async def drop_upload(self, job_id: str) -> None:
        """See `FileStore.drop_upload`."""
        await self._delete([_upload_path(job_id)])

    async def drop_result(self, result: Result) -> None:
        """See `FileStore.drop_result`."""
        await self._delete([_result_path(result)])

    async def forget(self, job_id: str) -> None:
        """See `FileStore.forget`."""
        async for written in self._written(f"{_job_path(job_id)}/"):
            await self._delete(written)

    async def forget_strays(
        self,
        known: Callable[[Collection[str]], Awaitable[frozenset[str]]],
        *,
        written_before_ms: int,
    ) -> int:
        """See `FileStore.forget_strays`."""
        strays: set[str] = set()
        async for written in self._written("jobs/"):
            old = {
                path: match[1]
                for path, written_ms in written.items()
                if written_ms < written_before_ms and (match := _FILE.fullmatch(path))
            }
            job_ids = frozenset(old.values())
            unknown = job_ids - await known(job_ids)
            await self._delete([path for path, job_id in old.items() if job_id in unknown])
            strays |= unknown
        return len(strays)

    async def _written(self, prefix: str) -> AsyncIterator[Mapping[str, int]]:
        """Every file below the prefix and when it was written, so many at a time."""
        with _failures("listing files"):
            async for found in self._store.list(prefix, chunk_size=_LISTED_AT_ONCE):
                yield {
                    meta["path"]: int(meta["last_modified"].timestamp() * 1000) for meta in found
                }

    async def _delete(self, paths: Collection[str]) -> None:
        """Delete the files that are there."""
        for path in paths:
            try:
                with _failures("deleting a file"):
                    await self._store.delete_async(path)
            except FileNotFoundError:
                continue

    async def _put(self, path: str, file: Path) -> None:
        """Copy a file in. Cancelled, it waits for what is under way, and takes it back."""
        async with self._putting:
            putting = asyncio.ensure_future(self._write(path, file))
            try:
                with _failures("writing a file"):
                    await asyncio.shield(putting)
            except asyncio.CancelledError:
                # The store's own threads go on for a while, whoever has stopped waiting for them.
                await asyncio.gather(putting, return_exceptions=True)
                with suppress(FilesError):
                    await self._delete([path])
                raise
            except FileNotFoundError:
                raise FilesError("writing a file failed: no such bucket or folder") from None

    async def _write(self, path: str, file: Path) -> None:
        # One part at a time: two dozen large files at once must fit into memory.
        await self._store.put_async(path, file, chunk_size=_PART_BYTES, max_concurrency=1)


class FolderFileStore(ObjectFileStore):
    """A folder of this machine. Looked into directly where the store hides something.

    A put that is broken off leaves `upload#1` or an empty folder: the store lists neither.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalStore(folder, automatic_cleanup=True))
        self._folder = folder
        self._jobs = folder / "jobs"

    async def forget(self, job_id: str) -> None:
        """See `FileStore.forget`."""
        with _failures("deleting files"):
            await asyncio.to_thread(_remove, self._jobs / _checked(job_id))

    async def forget_strays(
        self,
        known: Callable[[Collection[str]], Awaitable[frozenset[str]]],
        *,
        written_before_ms: int,
    ) -> int:
        """See `FileStore.forget_strays`. A job with any file younger than that is left alone."""
        count = 0
        old = _untouched(self._jobs, since_ms=written_before_ms)
        while job_ids := await self._next_ids(old):
            for stray in job_ids - await known(job_ids):
                await self.forget(stray)
                count += 1
        return count

    async def _write(self, path: str, file: Path) -> None:
        await super()._write(path, file)
        # The job store says on its own disk that the file is there.
        await asyncio.to_thread(_flush, self._folder / path)

    async def _next_ids(self, job_ids: Iterator[str]) -> frozenset[str]:
        with _failures("listing files"):
            return await asyncio.to_thread(_some, job_ids)


def open_files(url: str) -> FileStore:
    """The store at a URL; its folder is made if there is none. No network is used.

    Raises:
        ValueError: the text names no store that can be used. It says why.
    """
    if url.startswith("/"):
        return _folder(Path(url))
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError(f"{_FORMS}, and nothing after that")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return _folder(Path(unquote(parts.path)))
    if parts.scheme not in {"gs", "s3"} or not _BUCKET.fullmatch(parts.netloc):
        raise ValueError(_FORMS)
    prefix = parts.path.strip("/")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{_FORMS}; the prefix may hold letters, digits and ._-/ only")
    try:
        return ObjectFileStore(_bucket(parts.scheme, parts.netloc, prefix or None))
    except BaseError:
        raise ValueError("the credentials in the environment cannot be used") from None


def _bucket(scheme: str, name: str, prefix: str | None) -> ObjectStore:
    make = S3Store if scheme == "s3" else GCSStore
    # The type of `config` knows only the store's own keys, the store takes these too.
    config: Any = _CLIENT
    return make(name, prefix=prefix, config=config, retry_config=_RETRY)


def _folder(path: Path) -> FolderFileStore:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder cannot be made ({error.strerror})") from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError("the folder must be readable and writable")
    return FolderFileStore(path)


def _checked(job_id: str) -> str:
    """The id itself. Anything that is none of ours could be a way out of the prefix."""
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError("not a job id of ours")
    return job_id


def _job_path(job_id: str) -> str:
    return f"jobs/{_checked(job_id)}"


def _upload_path(job_id: str) -> str:
    return f"{_job_path(job_id)}/upload"


def _result_path(result: Result) -> str:
    if not _RESULT.fullmatch(result.location):
        raise ValueError("not a result of ours")
    return result.location


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _untouched(jobs: Path, *, since_ms: int) -> Iterator[str]:
    """The ids of the folders in which nothing was written since then."""
    try:
        folders = os.scandir(jobs)
    except FileNotFoundError:
        return
    with folders:
        for folder in folders:
            if _JOB_ID.fullmatch(folder.name) and _written_ms(Path(folder.path)) < since_ms:
                yield folder.name


def _written_ms(folder: Path) -> int:
    """When something in the folder was written last; never, if it is gone."""
    try:
        times = [folder.stat().st_mtime_ns, *(file.stat().st_mtime_ns for file in folder.iterdir())]
    except FileNotFoundError:
        # Somebody is at work in there, or has just removed it.
        return sys.maxsize
    return max(times) // 1_000_000


def _flush(file: Path) -> None:
    """Have the disk hold a file and the names that lead to it."""
    for place in (file, file.parent, file.parent.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _some(ids: Iterator[str]) -> frozenset[str]:
    return frozenset(islice(ids, _LISTED_AT_ONCE))


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


@contextmanager
def _failures(doing: str) -> Iterator[None]:
    """Errors of the store as ours, without a word of what it says.

    Raises:
        FileNotFoundError: what was asked for is not there.
        FilesError: anything else.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError("there is no such file") from None
    except (BaseError, OSError) as error:
        raise FilesError(f"{doing} failed: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return "access refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if number := _OS_ERROR.search(str(error)):
        return os.strerror(int(number[1]))
    return "the store did not do it"
