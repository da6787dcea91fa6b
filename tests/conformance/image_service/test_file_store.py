"""What `FileStore` promises, held against every implementation."""

import asyncio
import os
from collections.abc import Collection
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from image_service.jobs import Result
from image_service.storage.base import FileStore
from image_service.storage.objects import ObjectFileStore, open_files

_CONTENT = bytes(range(256)) * 4096 * 7  # 7 MiB: more than one piece, and more than one part
_JOB, _OTHER = "0" * 31 + "a", "0" * 31 + "b"
_LONG_AGO, _FAR_AHEAD = 0, 10**14


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    """Every implementation in turn."""
    if request.param == "folder":
        return open_files(f"{tmp_path}/kept")
    return ObjectFileStore(MemoryStore())


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A file that wants to be kept."""
    path = tmp_path / "made"
    path.write_bytes(_CONTENT)
    return path


async def _read(store: FileStore, result: Result, start: int = 0, length: int = 1) -> bytes:
    return b"".join([piece async for piece in store.read(result, start=start, length=length)])


async def _has_upload(store: FileStore, job_id: str, target: Path) -> bool:
    try:
        await store.fetch_upload(job_id, target)
    except FileNotFoundError:
        return False
    return True


async def _no_jobs(_: Collection[str]) -> frozenset[str]:
    return frozenset()


async def test_an_upload_comes_back_as_it_was(store: FileStore, made: Path, tmp_path: Path) -> None:
    """The same bytes, and the file they came from is still there."""
    await store.keep_upload(_JOB, made)
    await store.fetch_upload(_JOB, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == _CONTENT
    await store.keep_upload(_OTHER, made)


async def test_an_upload_that_is_not_there_is_not_found(store: FileStore, tmp_path: Path) -> None:
    """Nothing is left at the place where it was wanted."""
    with pytest.raises(FileNotFoundError):
        await store.fetch_upload(_JOB, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


async def test_a_dropped_upload_is_gone(store: FileStore, made: Path, tmp_path: Path) -> None:
    """The results stay, and dropping it again does no harm."""
    await store.keep_upload(_JOB, made)
    result = await store.keep_result(_JOB, 1, made, "image/png")
    await store.drop_upload(_JOB)
    await store.drop_upload(_JOB)
    assert not await _has_upload(store, _JOB, tmp_path / "fetched")
    assert await _read(store, result) == _CONTENT[:1]


async def test_what_is_kept_is_described(store: FileStore, made: Path) -> None:
    """Size and type are known, the tag is quoted, and the location names job and attempt."""
    result = await store.keep_result(_JOB, 2, made, "image/png")
    assert (result.size, result.media_type) == (len(_CONTENT), "image/png")
    assert result.location == f"jobs/{_JOB}/result-2"
    assert (result.etag[0], result.etag[-1], len(result.etag)) == ('"', '"', 34)


async def test_the_tag_depends_on_the_bytes_alone(
    store: FileStore, made: Path, tmp_path: Path
) -> None:
    """The same image has the same tag, another one has not."""
    one = await store.keep_result(_JOB, 1, made, "image/png")
    two = await store.keep_result(_OTHER, 1, made, "image/png")
    (tmp_path / "other").write_bytes(b"other")
    three = await store.keep_result(_JOB, 2, tmp_path / "other", "image/png")
    assert one.etag == two.etag != three.etag


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, len(_CONTENT)), (0, 1), (len(_CONTENT) - 1, 1), (1000, 500_000), (0, 0)],
)
async def test_any_part_can_be_read(store: FileStore, made: Path, start: int, length: int) -> None:
    """Exactly the bytes that were asked for."""
    result = await store.keep_result(_JOB, 1, made, "image/png")
    assert await _read(store, result, start, length) == _CONTENT[start : start + length]


async def test_reading_outlives_deletion(store: FileStore, made: Path) -> None:
    """A download that has begun is finished."""
    result = await store.keep_result(_JOB, 1, made, "image/png")
    pieces = store.read(result, start=0, length=result.size)
    first = await anext(pieces)
    await store.forget(_JOB)
    rest = b"".join([piece async for piece in pieces])
    assert first + rest == _CONTENT


@pytest.mark.parametrize("length", [0, 1])
async def test_a_dropped_result_is_not_found(store: FileStore, made: Path, length: int) -> None:
    """Another attempt's stays, and dropping it again does no harm."""
    dropped = await store.keep_result(_JOB, 1, made, "image/png")
    kept = await store.keep_result(_JOB, 2, made, "image/png")
    await store.drop_result(dropped)
    await store.drop_result(dropped)
    with pytest.raises(FileNotFoundError):
        await _read(store, dropped, 0, length)
    assert await _read(store, kept) == _CONTENT[:1]


async def test_forgetting_a_job_forgets_all_its_files(
    store: FileStore, made: Path, tmp_path: Path
) -> None:
    """No other job's, and forgetting it again does no harm."""
    for job_id in (_JOB, _OTHER):
        await store.keep_upload(job_id, made)
    result = await store.keep_result(_JOB, 1, made, "image/png")
    await store.forget(_JOB)
    await store.forget(_JOB)
    assert not await _has_upload(store, _JOB, tmp_path / "fetched")
    with pytest.raises(FileNotFoundError):
        await _read(store, result)
    assert await _has_upload(store, _OTHER, tmp_path / "fetched")


async def test_strays_are_forgotten_and_jobs_are_not(
    store: FileStore, made: Path, tmp_path: Path
) -> None:
    """Only the files of ids that are no job go, and each such id counts once."""
    await store.keep_upload(_JOB, made)
    await store.keep_upload(_OTHER, made)
    await store.keep_result(_OTHER, 1, made, "image/png")

    async def known(job_ids: Collection[str]) -> frozenset[str]:
        return frozenset(job_ids) & {_JOB}

    assert await store.forget_strays(known, written_before_ms=_FAR_AHEAD) == 1
    assert await _has_upload(store, _JOB, tmp_path / "fetched")
    assert not await _has_upload(store, _OTHER, tmp_path / "fetched")
    assert await store.forget_strays(known, written_before_ms=_FAR_AHEAD) == 0


async def test_young_files_are_left_alone(store: FileStore, made: Path, tmp_path: Path) -> None:
    """An upload whose job is about to exist is no stray."""
    await store.keep_upload(_JOB, made)
    assert await store.forget_strays(_no_jobs, written_before_ms=_LONG_AGO) == 0
    assert await _has_upload(store, _JOB, tmp_path / "fetched")


async def test_an_empty_store_has_no_strays(store: FileStore) -> None:
    """A new store can be tidied."""
    assert await store.forget_strays(_no_jobs, written_before_ms=_FAR_AHEAD) == 0


@pytest.mark.parametrize(
    "job_id", ["", "..", f"../{_JOB}", f"{_JOB}/..", _JOB.upper(), f"{_JOB}\n"]
)
async def test_no_id_leads_out_of_the_store(store: FileStore, made: Path, job_id: str) -> None:
    """What is no id of ours is refused before it becomes a path."""
    with pytest.raises(ValueError, match="not a job id"):
        await store.keep_upload(job_id, made)
    with pytest.raises(ValueError, match="not a job id"):
        await store.forget(job_id)


@pytest.mark.parametrize(
    "location", ["/etc/passwd", f"jobs/{_JOB}/../upload", f"jobs/{_JOB}/upload", ""]
)
async def test_no_location_leads_out_of_the_store(store: FileStore, location: str) -> None:
    """A result that no store of ours made is refused before it becomes a path."""
    result = Result(location, 1, "image/png", '""')
    with pytest.raises(ValueError, match="not a result"):
        await _read(store, result)
    with pytest.raises(ValueError, match="not a result"):
        await store.drop_result(result)


@pytest.mark.parametrize("delay_s", [0, 0.001, 0.004, 0.016])
async def test_a_put_that_is_broken_off_leaves_nothing(
    store: FileStore, made: Path, tmp_path: Path, delay_s: float
) -> None:
    """No file, no half of one, no folder; unless it was already there whole."""
    put = asyncio.create_task(store.keep_upload(_JOB, made))
    await asyncio.sleep(delay_s)
    put.cancel()
    await asyncio.gather(put, return_exceptions=True)
    assert await _has_upload(store, _JOB, tmp_path / "fetched") is not put.cancelled()
    await store.forget(_JOB)
    if (tmp_path / "kept" / "jobs").exists():
        assert not any(os.scandir(tmp_path / "kept" / "jobs"))
