"""What `ResultStore` promises, held against every implementation."""

from collections.abc import Callable
from pathlib import Path

import pytest

from image_service.jobs import Result
from image_service.storage.base import ResultStore
from image_service.storage.folder import FolderResultStore

_CONTENT = bytes(range(256)) * 4096  # 1 MiB: more than one piece


_MakeStore = Callable[[Path], ResultStore]


def _folder(path: Path) -> ResultStore:
    return FolderResultStore(path, max_bytes=len(_CONTENT))


@pytest.fixture(params=[_folder], ids=["folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    """Every implementation in turn."""
    (tmp_path / "kept").mkdir()
    make: _MakeStore = request.param
    return make(tmp_path / "kept")


async def _kept(store: ResultStore, folder: Path, job_id: str = "1") -> Result:
    produced = folder / f"{job_id}.out"
    produced.write_bytes(_CONTENT)
    return await store.keep(job_id, produced, "image/png")


async def _read(store: ResultStore, result: Result, start: int, length: int) -> bytes:
    return b"".join([piece async for piece in store.read(result, start=start, length=length)])


async def test_what_is_kept_is_described(store: ResultStore, tmp_path: Path) -> None:
    """Size and type are known, the tag is quoted, and the file has moved."""
    result = await _kept(store, tmp_path)
    assert (result.size, result.media_type) == (len(_CONTENT), "image/png")
    assert result.etag.startswith('"')
    assert result.etag.endswith('"')
    assert not (tmp_path / "1.out").exists()


async def test_the_tag_depends_on_the_bytes_alone(store: ResultStore, tmp_path: Path) -> None:
    """The same image has the same tag, another one has not."""
    one, two = await _kept(store, tmp_path, "1"), await _kept(store, tmp_path, "2")
    (tmp_path / "other").write_bytes(b"other")
    three = await store.keep("3", tmp_path / "other", "image/png")
    assert one.etag == two.etag != three.etag


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, len(_CONTENT)), (0, 1), (len(_CONTENT) - 1, 1), (1000, 500_000), (0, 0)],
)
async def test_any_part_can_be_read(
    store: ResultStore, tmp_path: Path, start: int, length: int
) -> None:
    """Exactly the bytes that were asked for."""
    result = await _kept(store, tmp_path)
    assert await _read(store, result, start, length) == _CONTENT[start : start + length]


async def test_reading_outlives_deletion(store: ResultStore, tmp_path: Path) -> None:
    """A download that has begun is finished."""
    result = await _kept(store, tmp_path)
    pieces = store.read(result, start=0, length=result.size)
    first = await anext(pieces)
    await store.delete("1")
    rest = b"".join([piece async for piece in pieces])
    assert first + rest == _CONTENT


async def test_a_deleted_result_is_not_found(store: ResultStore, tmp_path: Path) -> None:
    """And deleting it again does no harm."""
    result = await _kept(store, tmp_path)
    await store.delete("1")
    await store.delete("1")
    with pytest.raises(FileNotFoundError):
        await _read(store, result, 0, 1)


async def test_a_full_store_has_no_room(store: ResultStore, tmp_path: Path) -> None:
    """Until something is deleted."""
    assert await store.has_room()
    await _kept(store, tmp_path)
    assert not await store.has_room()
    await store.delete("1")
    assert await store.has_room()
