"""The programs that the guide offers to copy do what they say, against a real stack."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import encoded
from tests.e2e.stack import ROOT, Stack

EXAMPLES = ROOT / "docs" / "examples"
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
PROGRAMS = [
    pytest.param((sys.executable, str(EXAMPLES / "upscale.py")), id="python"),
    pytest.param(("sh", str(EXAMPLES / "upscale.sh")), id="shell", marks=NEEDS_CURL),
]
Program = tuple[str, ...]
Done = subprocess.CompletedProcess[str]


def run(program: Program, stack: Stack, key: str, *arguments: str, folder: Path) -> Done:
    """One run of a program, as somebody would start it."""
    told = {"IMAGEN_URL": f"http://127.0.0.1:{stack.client.port}", "IMAGEN_API_KEY": key}
    return subprocess.run(
        [*program, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **told},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_is_enlarged_once_however_often_it_is_asked_for(
    stack: Stack, tmp_path: Path, program: Program
) -> None:
    """The result is kept as a file; a second run finds the same job, other fields make another."""
    (tmp_path / "photo.jpg").write_bytes(encoded("JPEG"))
    key = stack.fresh_key()

    def jobs(*fields: str) -> str:
        done = run(program, stack, key, "photo.jpg", "large", *fields, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = jobs("scale=4", "format=webp")
    image = Image.open(io.BytesIO((tmp_path / "large").read_bytes()))
    assert (image.format, image.size) == ("WEBP", (192, 160))
    assert jobs("scale=4", "format=webp") == first
    assert jobs() != first
    assert sorted(it.name for it in tmp_path.iterdir()) == ["large", "photo.jpg"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_limit_is_waited_for(stack: Stack, tmp_path: Path, program: Program) -> None:
    """429 is no failure: the program waits as long as it is told, and succeeds."""
    (tmp_path / "photo.jpg").write_bytes(encoded("JPEG"))

    def complaints() -> str:
        key = stack.fresh_key("brief")
        for _ in range(2):
            assert stack.client.get("/api/v1/images/limits", [("X-API-Key", key)]).status == 200
        done = run(program, stack, key, "photo.jpg", "large.jpg", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stderr

    # On a busy machine the two seconds may be over before the program has begun.
    assert any("RATE_LIMIT_EXCEEDED" in complaints() for _ in range(3))
    assert (tmp_path / "large.jpg").exists()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_refusal_ends_the_program(stack: Stack, tmp_path: Path, program: Program) -> None:
    """Told in the service's own words, and nothing is left behind."""
    (tmp_path / "notes.txt").write_text("not an image", "utf-8")

    done = run(program, stack, stack.fresh_key(), "notes.txt", "large.jpg", folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("refused: 400")
    assert "INVALID_IMAGE" in done.stderr
    assert [it.name for it in tmp_path.iterdir()] == ["notes.txt"]
