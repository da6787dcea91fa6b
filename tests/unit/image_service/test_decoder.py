from pathlib import Path

import pytest

from image_service.decoder import answer
from image_service.testing import encoded, picture


def _ignored(_message: object) -> None:
    """Progress is of no interest here."""


def test_facts_are_told(tmp_path: Path) -> None:
    """A request without a target is a question."""
    (tmp_path / "in").write_bytes(encoded(picture()))
    told = answer({"source": str(tmp_path / "in")}, _ignored)
    assert told == {"facts": {"format": "png", "width": 48, "height": 40, "frames": 1}}


def test_a_transform_is_done(tmp_path: Path) -> None:
    """A request with a target is work; progress is told on the way."""
    (tmp_path / "in").write_bytes(encoded(picture()))
    spec = {"scale": 2, "format": "gif", "quality": 90, "keep_metadata": False}
    told: list[object] = []
    request = {"source": str(tmp_path / "in"), "target": str(tmp_path / "out"), "spec": spec}
    assert answer(request, told.append) == {"done": True}
    assert told == [{"progress": 10}, {"progress": 50}, {"progress": 100}]
    assert (tmp_path / "out").read_bytes().startswith(b"GIF8")


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    """A bad file does not end the process."""
    (tmp_path / "in").write_bytes(b"")
    assert answer({"source": str(tmp_path / "in")}, _ignored) == {"refused": "The file is empty."}


@pytest.mark.parametrize("request_", [{}, {"source": "/nowhere"}, {"source": 1}])
def test_whatever_goes_wrong_is_an_answer(request_: dict[str, object]) -> None:
    """Only the kind of error is told: its text may hold paths."""
    assert set(answer(request_, _ignored)) == {"failed"}
