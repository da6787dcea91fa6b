"""The README's commands do what the README says."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.stack import ROOT, running

BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXAMPLES = [
    (command, expected)
    for block in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A stack of its own, so that the keys of the README are unused."""
    with running() as stack:
        yield stack.client.port


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_example_prints_what_it_says(port: int) -> None:
    """In the order of the README; `...` stands for anything."""
    assert len(EXAMPLES) >= 7
    for command, expected in EXAMPLES:
        printed = run(command.replace("localhost:8000", f"localhost:{port}"))

        pattern = ".*".join(re.escape(part) for part in expected.rstrip("\n").split("..."))
        assert re.match(pattern, printed, re.DOTALL), f"{command}\nprinted: {printed}"


def run(command: str) -> str:
    """What a shell prints, in a folder that is cleaned of what the example made."""
    try:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
    finally:
        (ROOT / "upscaled.jpg").unlink(missing_ok=True)
