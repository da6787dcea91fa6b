"""The file of peppers: what is accepted, what is refused, and that no pepper is ever repeated."""

from pathlib import Path

import pytest

from authz_service.errors import ConfigurationError
from authz_service.identity.peppers import load_peppers, others_may_read

CANARY = "canary-pepper-0123456789-0123456"  # 32 characters
OTHER = "another-pepper-0123456789-0123456789"
WRONG = "must be 32 to 256 printable characters, no space"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the peppers stand."""
    return tmp_path / "peppers"


def refused(file: Path, content: bytes) -> tuple[str, ...]:
    """What is wrong, without the name of the file."""
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_peppers(file)
    assert "canary" not in f"{caught.value} {caught.value!r}"
    return tuple(problem.removeprefix(f"{file}:") for problem in caught.value.problems)


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_the_first_line_is_in_use(file: Path, ending: str) -> None:
    """The order of the file is the order of the peppers; how lines end is no part of them."""
    file.write_bytes(f"{CANARY}{ending or chr(10)}{OTHER}{ending}".encode())
    secrets = [pepper.secret.decode() for pepper in load_peppers(file)]
    assert secrets == [CANARY, OTHER]


@pytest.mark.parametrize(
    "line",
    [
        CANARY[:-1].encode(),
        b"x" * 257,
        CANARY.encode() + b" ",
        b" " + CANARY.encode(),
        CANARY.encode() + b"\t" + CANARY.encode(),
        CANARY.encode() + "ü".encode(),
        CANARY.encode() + b"\xff",
        CANARY.encode() + b"\0",
        b"",
    ],
)
def test_a_pepper_is_long_and_visible(file: Path, line: bytes) -> None:
    """Nothing is trimmed or skipped: what cannot be seen would be a different pepper elsewhere."""
    assert refused(file, OTHER.encode() + b"\n" + line + b"\n") == (f"2: {WRONG}",)


def test_every_wrong_line_is_told(file: Path) -> None:
    """All of them at once, repeated ones included."""
    content = f"short\n{CANARY}\n{OTHER}\n{CANARY}\n\n"
    assert refused(file, content.encode()) == (
        f"1: {WRONG}",
        "4: the same pepper as above",
        f"5: {WRONG}",
    )


def test_an_empty_file_is_no_file_of_peppers(file: Path) -> None:
    """Without a pepper there would be none in use, and nobody would notice."""
    assert refused(file, b"") == (" holds no pepper",)


def test_a_file_that_cannot_be_read_is_told(file: Path) -> None:
    """By its name and the system's words."""
    with pytest.raises(ConfigurationError) as caught:
        load_peppers(file)
    assert caught.value.problems == (f"{file}: cannot be read: No such file or directory",)


@pytest.mark.parametrize(
    ("mode", "open_to_others"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)]
)
def test_a_file_open_to_others_is_noticed(file: Path, mode: int, *, open_to_others: bool) -> None:
    """By group or by anybody."""
    file.write_text(CANARY)
    file.chmod(mode)
    assert others_may_read(file) is open_to_others


def test_a_missing_file_is_open_to_nobody(file: Path) -> None:
    """It may go away between being read and being asked about."""
    assert others_may_read(file) is False
