"""Any bytes are an image with a larger one, or a refusal; the decoder process survives them.

The bytes go to a real decoder process, which the fuzzer does not see into: it changes good files
at random, and the checksums of a PNG are put right again so that more than they is tested.
Run it with `python -m tests.fuzz.image_file FOLDER`.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

from image_service.core.formats import ImageFormat
from image_service.testing import animation, chunk, encoded, picture
from tests.corpus.hostile import looping_exif, with_exif
from tests.corpus.parts import PNG_SIGNATURE
from tests.fuzz.guided import fuzz

_MEMORY_BYTES = 2 * 1024**3
_DEADLINE_S = 20
_MOST_PIXELS = 100_000
_ANSWERS = {"facts", "done", "refused", "unfit"}

SEEDS = (
    b"",
    *(encoded(picture(), form) for form in ImageFormat),
    *(animation(form, mode="RGBA") for form in ImageFormat if form.animates),
    *(encoded(picture(mode)) for mode in ("1", "LA", "P", "I;16")),
    encoded(picture("P"), transparency=0),
    encoded(picture("CMYK"), ImageFormat.JPEG),
    encoded(picture(), ImageFormat.JPEG, progressive=True, quality=50),
    with_exif(looping_exif()),
)


class _Decoder:
    """The process that the service would ask, and its folder."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "image_service.decoder",
                *map(str, (_MEMORY_BYTES, _DEADLINE_S, os.getpid())),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._line() == {"ready": True}
        atexit.register(self._close)

    def ask(self, content: bytes, **request: object) -> Mapping[str, Any]:
        """The process's last word on a file."""
        source = Path(self._folder.name) / "in"
        source.write_bytes(content)
        target = {"target": str(source.with_suffix(".out"))} if request else {}
        question = {"source": str(source), **target, **request}
        _open(self._process.stdin).write(json.dumps(question).encode() + b"\n")
        _open(self._process.stdin).flush()
        while "progress" in (answer := self._line()):
            pass
        return answer

    def _line(self) -> Mapping[str, Any]:
        line = _open(self._process.stdout).readline()
        assert line, "the decoder died"
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def _close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


@cache
def _decoder() -> _Decoder:
    return _Decoder()


def target(data: bytes) -> None:
    """A file."""
    content = _with_checksums(data)
    answer = _decoder().ask(content)
    assert answer.keys() <= _ANSWERS, answer
    if "facts" not in answer:
        return
    facts = answer["facts"]
    if facts["width"] * facts["height"] * facts["frames"] > _MOST_PIXELS:
        return
    form = list(ImageFormat)[len(data) % len(ImageFormat)]
    spec = {"scale": 2, "format": form, "quality": 50, "keep_metadata": form.holds_exif}
    answer = _decoder().ask(content, spec=spec)
    assert answer.keys() <= _ANSWERS, answer


def _with_checksums(data: bytes) -> bytes:
    if not data.startswith(PNG_SIGNATURE):
        return data
    mended, position = PNG_SIGNATURE, len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind, start = data[position + 4 : position + 8], position + 8
        if start + length + 4 > len(data):
            break
        mended += chunk(kind, data[start : start + length])
        position = start + length + 4
    return mended + data[position:]


def main() -> None:
    """Fuzz."""
    fuzz(target, SEEDS)


if __name__ == "__main__":
    main()
