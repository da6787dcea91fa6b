"""Receiving a form and keeping its file: what is left when it breaks off, and what it takes."""

import asyncio
import io
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PosixPath
from typing import Any

import pytest
from aiohttp import ClientSession, FormData, web

from image_service import upload
from image_service.storage.objects import open_files
from image_service.testing import identity
from tests.integration.image_service.decoders import memory_of
from tests.integration.image_service.ensemble import UPSCALE, Ensemble
from tests.integration.image_service.upload_server import upload_app

_HERE = Path(__file__).parent
_MB = 1024 * 1024
_CLIENTS, _SIZE = 20, 100 * _MB
_MOST_MEMORY = 300 * _MB

_FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    b"what the file contains\r\n"
    b'--b\r\nContent-Disposition: form-data; name="scale"\r\n\r\n2\r\n--b--\r\n'
)


class _SlowlyOpened(PosixPath):
    """A path on a disk that takes its time."""

    def open(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as wide as Path's
        """Later than the client's time is up."""
        time.sleep(0.3)
        return super().open(*args, **kwargs)


@asynccontextmanager
async def _serving(folder: Path, spool: Path) -> AsyncIterator[int]:
    """The port of a server that is stopped, and has finished everything, when the block ends."""
    runner = web.AppRunner(upload_app(open_files(str(folder)), spool))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The folder of the store."""
    return tmp_path / "kept"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The folder where files are while they arrive."""
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def _files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def _head(length: int, *, max_file_bytes: int = _SIZE) -> bytes:
    lines = "".join(
        f"{name}: {value}\r\n" for name, value in identity(max_file_bytes=max_file_bytes).items()
    )
    return (
        f"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n{lines}"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    ).encode()


async def _hang_up_after(port: int, sent: bytes) -> None:
    """Send that much, say no more, and wait until the server has let go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_whole_form_is_kept(kept: Path, spool: Path) -> None:
    """Its file is in the store and no longer in the spool folder."""
    async with _serving(kept, spool) as port, ClientSession() as session:
        form = FormData({"file": io.BytesIO(b"content")})
        async with session.post(
            f"http://127.0.0.1:{port}/", data=form, headers=identity()
        ) as answer:
            assert answer.status == 200
    assert [path.read_bytes() for path in _files(kept, spool)] == [b"content"]


async def test_a_client_that_goes_at_any_byte_leaves_nothing(kept: Path, spool: Path) -> None:
    """Neither in the spool folder nor in the store, wherever the form is cut."""
    async with _serving(kept, spool) as port:
        for cut in range(len(_FORM)):
            await _hang_up_after(port, _head(len(_FORM)) + _FORM[:cut])
    assert _files(kept, spool) == []


async def test_a_client_that_goes_amid_a_large_file_leaves_nothing(kept: Path, spool: Path) -> None:
    """The part that was spooled is gone."""
    async with _serving(kept, spool) as port:
        begun = _FORM[: _FORM.index(b"what")] + bytes(3 * _MB)
        await _hang_up_after(port, _head(10 * _MB) + begun)
    assert _files(kept, spool) == []


async def test_a_file_that_is_too_large_leaves_nothing(kept: Path, spool: Path) -> None:
    """413, although the form's length did not tell, and the part that was spooled is gone."""
    async with _serving(kept, spool) as port, ClientSession() as session:
        headers = identity(max_file_bytes=_MB)
        form = FormData({"file": io.BytesIO(bytes(_MB + 1))})
        async with session.post(f"http://127.0.0.1:{port}/", data=form, headers=headers) as answer:
            assert answer.status == 413
    assert _files(kept, spool) == []


@pytest.mark.parametrize("path_type", [Path, _SlowlyOpened])
async def test_a_form_that_does_not_arrive_in_time_leaves_nothing(
    kept: Path, spool: Path, monkeypatch: pytest.MonkeyPatch, path_type: type[Path]
) -> None:
    """408, even if the time is up while the file is being opened."""
    monkeypatch.setattr(upload, "RECEIVE_S", 0.1)
    async with _serving(kept, path_type(spool)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_head(len(_FORM)) + _FORM[:100])
        assert (await reader.readline()).split()[1] == b"408"
        writer.close()
        await writer.wait_closed()
    assert _files(kept, spool) == []


@pytest.fixture
async def ensemble(tmp_path: Path) -> AsyncIterator[Ensemble]:
    """The service without workers: what is accepted stays."""
    made = Ensemble(tmp_path, workers=0)
    try:
        await made.start_all()
        yield made
    finally:
        await made.close()
        shutil.rmtree(tmp_path / "files", ignore_errors=True)  # two gigabytes


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_many_large_uploads_at_once_take_little_memory(ensemble: Ensemble) -> None:
    """Twenty files of 100 MB arrive together within 300 MB, and every one is a job."""
    clients = await asyncio.create_subprocess_exec(
        *(sys.executable, str(_HERE / "upload_clients.py"), ensemble.url + UPSCALE),
        *(str(_CLIENTS), str(_SIZE)),
        stdout=subprocess.PIPE,
    )
    made, _ = await clients.communicate()
    assert int(made) == _CLIENTS
    kept = [path.stat().st_size for path in _files(ensemble.folder / "files")]
    assert kept == [_SIZE] * _CLIENTS
    assert memory_of(ensemble.pid("api"), "VmHWM") < _MOST_MEMORY
