"""What the object store adds to the promises of a file store: where it is, and how it fails."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from image_service.errors import FilesError
from image_service.jobs import Result
from image_service.storage.base import FileStore
from image_service.storage.objects import FolderFileStore, ObjectFileStore, open_files

if TYPE_CHECKING:
    from obstore import PutResult

_JOB = "0" * 31 + "a"
_SECRET = "0123456789secret"
_MB = 1024 * 1024
_FAR_AHEAD = 10**14

_PUT = """
import asyncio, sys
from pathlib import Path
from image_service.storage.objects import open_files
asyncio.run(open_files(sys.argv[1]).keep_upload(sys.argv[2], Path(sys.argv[3])))
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A file that wants to be kept."""
    path = tmp_path / "made"
    path.write_bytes(bytes(2 * _MB))
    return path


@pytest.fixture
def small_disk() -> Iterator[Callable[[], None]]:
    """Lets no file become larger than one megabyte from now on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (_MB, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("s3://some-bucket", 'S3Store(bucket="some-bucket")'),
        ("s3://some-bucket/", 'S3Store(bucket="some-bucket")'),
        ("s3://some.bucket/a/b-1/", 'S3Store(bucket="some.bucket", prefix="a/b-1")'),
        ("gs://some-bucket", 'GCSStore(bucket="some-bucket")'),
        ("gs://some_bucket/images", 'GCSStore(bucket="some_bucket", prefix="images")'),
    ],
)
def test_a_bucket_is_found_by_its_url(
    monkeypatch: pytest.MonkeyPatch, url: str, store: str
) -> None:
    """Kind, bucket and prefix are the URL's, and no secret is in what it is called."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", _SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _SECRET)
    files = open_files(url)
    assert isinstance(files, ObjectFileStore)
    assert repr(files._store) == store
    assert _SECRET not in repr(files)


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path, form: str) -> None:
    """By its path or its URL; its parents as well."""
    assert isinstance(open_files(form.format(tmp_path / "deep" / "kept")), FolderFileStore)
    assert (tmp_path / "deep" / "kept").stat().st_mode & 0o777 == 0o700


def test_a_folder_url_may_be_quoted(tmp_path: Path) -> None:
    """As URLs are."""
    open_files(f"file://{tmp_path}/with%20space")
    assert (tmp_path / "with space").is_dir()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relative/folder",
        "file://relative/folder",
        "memory://",
        "https://bucket/prefix",
        "S3:bucket",
        "s3://",
        "s3://UPPER",
        "s3://user:password@bucket",
        "s3://bucket:9000/prefix",
        "s3://bucket/a/../b",
        "s3://bucket/..",
        "s3://bucket/a//b",
        "s3://bucket/prefix?region=x",
        "gs://bucket/prefix#x",
    ],
)
def test_what_names_no_store_is_refused(url: str) -> None:
    """With a sentence that fits behind the name of the setting."""
    with pytest.raises(ValueError, match=r"^must be a folder \("):
        open_files(url)


def test_a_folder_that_cannot_be_made_is_refused(made: Path) -> None:
    """The sentence says why."""
    with pytest.raises(ValueError, match=r"^the folder cannot be made \(File exists\)$"):
        open_files(str(made))


def test_credentials_that_cannot_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a word of what is in them."""
    key = tmp_path / "key.json"
    key.write_text(f'{{"private_key": "{_SECRET}"}}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    with pytest.raises(ValueError, match=r"^the credentials in the environment cannot be used$"):
        open_files("gs://bucket")


async def test_a_bucket_that_cannot_be_reached_fails_without_secrets(
    monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    """Every call says so, and no error quotes the store."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", _SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _SECRET)
    files = open_files("s3://bucket/prefix")
    failed = await asyncio.gather(
        files.keep_upload(_JOB, made),
        files.fetch_upload(_JOB, made.with_name("fetched")),
        _first(files, Result(f"jobs/{_JOB}/result-1", 1, "image/png", '""')),
        files.drop_upload(_JOB),
        files.forget(_JOB),
        files.forget_strays(_no_jobs, written_before_ms=_FAR_AHEAD),
        return_exceptions=True,
    )
    assert {type(error) for error in failed} == {FilesError}
    assert {str(error).partition(": ")[2] for error in failed} == {"the store did not do it"}
    shown = "".join(
        line
        for error in failed
        if isinstance(error, FilesError)
        for line in traceback.format_exception(error)
    )
    assert "obstore.exceptions" not in shown


async def test_what_is_kept_is_on_the_disk(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job store says on its disk that it is there: a machine that stops must not lose it."""
    flushed = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files = open_files(str(tmp_path / "kept"))
    await files.keep_upload(_JOB, made)
    await files.keep_result(_JOB, 1, made, "image/png")
    jobs = tmp_path / "kept" / "jobs"
    assert flushed == [
        path.stat().st_ino
        for name in ("upload", "result-1")
        for path in (jobs / _JOB / name, jobs / _JOB, jobs)
    ]


async def test_a_disk_without_room_fails_and_keeps_nothing(
    tmp_path: Path, made: Path, small_disk: Callable[[], None]
) -> None:
    """The error is the system's word for it."""
    small_disk()
    files = open_files(f"{tmp_path}/kept")
    with pytest.raises(FilesError, match=r"^writing a file failed: File too large$"):
        await files.keep_upload(_JOB, made)
    with pytest.raises(FileNotFoundError):
        await files.fetch_upload(_JOB, tmp_path / "fetched")


async def test_a_put_is_not_left_alone_when_it_is_cancelled(made: Path) -> None:
    """Whoever cancels it waits until the store is done, and then nothing is there."""
    store = _SlowStore()
    put = asyncio.create_task(ObjectFileStore(store).keep_upload(_JOB, made))
    await store.begun.wait()
    put.cancel()
    done, _ = await asyncio.wait({put}, timeout=0.05)
    assert not done
    store.may_end.set()
    await asyncio.wait({put})
    assert put.cancelled()
    assert await store.list().collect_async() == []


async def test_a_folder_that_cannot_be_written_fails(tmp_path: Path, made: Path) -> None:
    """Something else stands where the folder of the job belongs."""
    files = open_files(f"{tmp_path}/kept")
    (tmp_path / "kept" / "jobs").touch()
    with pytest.raises(FilesError, match=r"^writing a file failed: "):
        await files.keep_upload(_JOB, made)


@pytest.mark.parametrize("by_sweeping", [False, True])
async def test_what_a_dead_process_was_writing_can_be_forgotten(
    tmp_path: Path, *, by_sweeping: bool
) -> None:
    """It is no upload to anybody, and it goes with its job or with the strays."""
    _die_while_keeping(tmp_path)
    job = tmp_path / "kept" / "jobs" / _JOB
    assert [path.name for path in job.iterdir()] == ["upload#1"]
    files = open_files(f"{tmp_path}/kept")
    with pytest.raises(FileNotFoundError):
        await files.fetch_upload(_JOB, tmp_path / "fetched")
    if by_sweeping:
        assert await files.forget_strays(_no_jobs, written_before_ms=_FAR_AHEAD) == 1
    else:
        await files.forget(_JOB)
    assert not job.exists()


async def test_a_job_that_is_still_written_is_no_stray(tmp_path: Path, made: Path) -> None:
    """One young file, even half of one, keeps the others."""
    files = open_files(f"{tmp_path}/kept")
    await files.keep_upload(_JOB, made)
    job = tmp_path / "kept" / "jobs" / _JOB
    (job / "result-1#1").touch()
    for path in (job / "upload", job):
        os.utime(path, (0, 0))
    assert await files.forget_strays(_no_jobs, written_before_ms=_MB) == 0
    assert (job / "upload").exists()


async def test_strangers_files_are_left_alone(tmp_path: Path) -> None:
    """What is not called like a file of ours is not ours to delete."""
    files = open_files(f"{tmp_path}/kept")
    stranger = tmp_path / "kept" / "jobs" / "notes" / "upload"
    stranger.parent.mkdir(parents=True)
    stranger.touch()
    assert await files.forget_strays(_no_jobs, written_before_ms=_FAR_AHEAD) == 0
    assert stranger.exists()


class _SlowStore(MemoryStore):
    """Keeps a file only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def put_async(self, *args: Any, **kwargs: Any) -> "PutResult":  # noqa: ANN401
        """See the class."""
        self.begun.set()
        await self.may_end.wait()
        return await super().put_async(*args, **kwargs)


async def _no_jobs(_: Collection[str]) -> frozenset[str]:
    return frozenset()


async def _first(files: FileStore, result: Result) -> bytes:
    return await anext(aiter(files.read(result, start=0, length=1)))


def _die_while_keeping(folder: Path) -> None:
    """Have a process killed in the middle of keeping a file that is large, but takes no room."""
    with (folder / "large").open("wb") as large:
        large.truncate(2048 * _MB)
    arguments = [f"{folder}/kept", _JOB, f"{folder}/large"]
    with subprocess.Popen([sys.executable, "-c", _PUT, *arguments]) as process:
        while not (folder / "kept" / "jobs" / _JOB / "upload#1").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)


async def test_a_fetch_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    """Neither a file at its target nor an open one, at whatever moment it is broken off."""
    files = open_files((tmp_path / "store").as_uri())
    upload, target = tmp_path / "upload", tmp_path / "target"
    upload.write_bytes(b"x" * 3_000_000)
    await files.keep_upload("0" * 32, upload)
    for turns in range(30):
        fetching = asyncio.create_task(files.fetch_upload("0" * 32, target))
        for _ in range(turns):
            await asyncio.sleep(0)
        fetching.cancel()
        with suppress(asyncio.CancelledError):
            await fetching
            target.unlink()
        assert not target.exists()
