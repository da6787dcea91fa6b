"""Files made to hurt, sent the way an attacker sends them: refused at once, service unharmed."""

import io
import struct
import zlib

import pytest
from aiohttp import ClientSession, FormData
from PIL import Image

from image_service.core.formats import ImageFormat
from image_service.testing import animation, chunk, encoded, identity, picture, png_header

pytestmark = pytest.mark.asyncio(loop_scope="module")

_NOISE = Image.effect_noise((96, 96), 60).convert("RGB")
_JPEG = encoded(_NOISE, ImageFormat.JPEG)
_PNG = encoded(_NOISE)
_HEADER_END = 33  # signature and IHDR

_WEBP_CANVAS = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + b"\xfe\x3f\0" * 2
_SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"

_HOSTILE = {
    "nothing": b"",
    "zeros": b"\0" * 100_000,
    "script": b"<script>alert(1)</script>",
    "svg": _SVG,
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n(/etc/passwd) run",
    "jpeg behind a script": _SVG + _JPEG,
    "jpeg cut short": _JPEG[: len(_JPEG) // 2],
    "jpeg without its end": _JPEG[:-200],
    "png cut short": _PNG[: len(_PNG) // 2],
    "png without its end": _PNG[:-12],
    "png of a line": png_header(1, 40_000),
    "png of 2.5 gigapixels": png_header(50_000, 50_000),
    "png of no size": png_header(0, 0),
    "png of negative size": png_header(2**31 + 40, 2**31 + 40),
    "png that claims what it lacks": png_header(8000, 8000),
    "png with a text bomb": _PNG[:_HEADER_END]
    + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 50_000_000))
    + _PNG[_HEADER_END:],
    "png with a chunk of 2 GB": _PNG[:_HEADER_END] + struct.pack(">I", 2**31 - 1) + b"tEXt",
    "png with a wrong checksum": _PNG.replace(b"IDAT", b"IDAT\xff", 1),
    "webp with a huge canvas": b"RIFF" + struct.pack("<I", 22) + b"WEBP" + _WEBP_CANVAS,
    "gif of no size": b"GIF89a" + b"\0" * 50,
    "gif cut short": animation(ImageFormat.GIF, size=(200, 200))[:-400],
    "tiny": encoded(Image.new("L", (31, 31))),
    "tiff": b"II*\0\x08\0\0\0" + b"\xff" * 500,
}


async def _answer(client: ClientSession, content: bytes, name: str = "a.png") -> tuple[int, str]:
    form = FormData()
    form.add_field("file", io.BytesIO(content), filename=name, content_type="image/png")
    headers = {**identity(), "Prefer": "wait=30"}
    async with client.post("/api/v1/images/upscale", data=form, headers=headers) as answer:
        if answer.content_type != "application/json":
            return answer.status, answer.content_type
        return answer.status, (await answer.json())["error"]["code"]


@pytest.mark.parametrize("kind", sorted(_HOSTILE))
async def test_hostile_files_are_refused(client: ClientSession, kind: str) -> None:
    """400 INVALID_IMAGE, never a 500, and the next good file is served."""
    assert await _answer(client, _HOSTILE[kind]) == (400, "INVALID_IMAGE")
    assert await _answer(client, encoded(picture())) == (200, "image/png")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (_JPEG + b"PK\x03\x04" + _SVG, "image/jpeg"),
        (encoded(picture(), ImageFormat.GIF) + b"/*<script>*/", "image/gif"),
        (_PNG + b"MZ\x90\0", "image/png"),
    ],
    ids=["zip behind jpeg", "script behind gif", "program behind png"],
)
async def test_what_hides_behind_an_image_is_left_behind(
    client: ClientSession, content: bytes, media_type: str
) -> None:
    """A polyglot is served as its image alone, whatever it was called."""
    assert await _answer(client, content, "a.html") == (200, media_type)


@pytest.mark.parametrize("parameter", ["a*", "*", "a*=", "boundary=b; a*", "a*\xb9", "b=b; a "])
async def test_an_odd_declared_type_is_refused(client: ClientSession, parameter: str) -> None:
    """A type that no parser makes sense of is the client's mistake, not ours."""
    headers = {**identity(), "Content-Type": f"multipart/form-data; {parameter}"}
    async with client.post("/api/v1/images/upscale", data=b"--b--", headers=headers) as answer:
        assert answer.status in {400, 415}
