"""Any bytes are a form with a spooled file, or a refusal that a client understands.

The first line is the declared type, the first byte of the rest how long the pieces are in which it
arrives.
Run it with `python -m tests.fuzz.upload FOLDER`.
"""

import asyncio
import hashlib
import tempfile
import warnings
from pathlib import Path

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from image_service.caller import Caller
from image_service.core.spec import FIELDS, MAX_FIELD_BYTES
from image_service.errors import ApiException
from image_service.observe import ignore_warnings_of_foreign_headers
from image_service.upload import Upload, receive
from tests.fuzz.guided import fuzz

_CALLER = Caller(
    subject="key:test", tier="free", method="api_key", key_id=None, max_file_bytes=2_000, limits=()
)
_REFUSALS = {400, 413, 415}


def _form(*parts: tuple[str, bytes], kind: bytes = b"multipart/form-data; boundary=b") -> bytes:
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; " + header.encode() + b"\r\n\r\n" + value + b"\r\n"
        for header, value in parts
    )
    return kind + b"\n\x07" + body + b"--b--\r\n"


_FILE = ('name="file"; filename="a.png"', b"\x89PNG\r\n\x1a\n--\r\n-")
_ODD_NAMES = "name*=utf-8''fil%65; filename*=utf-8''a%00"

SEEDS = (
    b"",
    _form(_FILE),
    _form(('name="scale"', b"4"), ('name="metadata"', b"keep"), _FILE, ('name="quality"', b"7")),
    _form(_FILE, _FILE, ('name="other"', b"x" * 100), ('name="format"', b"\xff" * 80)),
    _form((_ODD_NAMES, b"1"), ("name=file", b"2"), ('name="file', b"3")),
    _form((_FILE[0] + "\r\nContent-Transfer-Encoding: base64", b"iVBORw0KGgo=")),
    _form((_FILE[0] + "\r\nContent-Encoding: gzip", b"\x1f\x8b\x08\0")),
    _form((_FILE[0] + "\r\nContent-Length: 3", b"abcdef")),
    _form((_FILE[0] + "\r\nContent-Type: multipart/mixed; boundary=c", b"--c\r\n\r\nx\r\n--c--")),
    _form(('name="_charset_"', b"utf-7"), _FILE),
    _form(_FILE, kind=b"multipart/form-data; boundary=b; a*"),
    _form(_FILE, kind=b"multipart/form-data; boundary=b; a "),
    _form(_FILE, kind=b"multipart/form-data; a*\xb9"),
    _form(_FILE, kind=b'multipart/form-data; boundary="b"; charset=utf-7'),
    _form(*[('name="x"', b"")] * 40),
    _form(("name=file", b"x" * 3_000)),
)


def target(data: bytes) -> None:
    """A declared type, and a body in pieces."""
    with warnings.catch_warnings():
        ignore_warnings_of_foreign_headers()
        asyncio.run(_received(data))


async def _received(data: bytes) -> None:
    declared, _, body = data.partition(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spooled"
        stream = _stream(body[1:], piece=max(body[0], 1) if body else 1)
        # A parser has been over it before: no line ends, and nothing beyond Latin letters.
        kind = declared.decode("latin-1").replace("\r", " ")
        request = make_mocked_request("POST", "/", {"Content-Type": kind}, payload=stream)
        try:
            upload = await receive(request, _CALLER, path)
        except ApiException as refusal:
            assert refusal.status in _REFUSALS, refusal  # noqa: PT017 - one of many outcomes
            return
        _check(upload, path)


def _stream(body: bytes, *, piece: int) -> StreamReader:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    for start in range(0, len(body), piece):
        stream.feed_data(body[start : start + piece])
    stream.feed_eof()
    return stream


def _check(upload: Upload, path: Path) -> None:
    assert set(upload.fields) <= set(FIELDS)
    assert all(len(value) <= MAX_FIELD_BYTES for value in upload.fields.values())
    if upload.problems:
        return
    spooled = path.read_bytes()
    assert len(spooled) == upload.size <= _CALLER.max_file_bytes
    assert hashlib.sha256(spooled).hexdigest() == upload.digest


def main() -> None:
    """Fuzz, guided by coverage."""
    fuzz(target, SEEDS)


if __name__ == "__main__":
    main()
