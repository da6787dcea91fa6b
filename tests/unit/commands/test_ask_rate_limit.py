"""`authz_service ask-rate-limit`: a wrong call asks nobody."""

import pytest

from authz_service.cli import main

_RIGHT = ("127.0.0.1:8081", "--domain", "d", "--descriptor", "a=b")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere", *_RIGHT[1:]), "'nowhere' is neither unix:PATH nor HOST:PORT"),
        (_RIGHT[:3], "required: --descriptor"),
        (("127.0.0.1:8081", *_RIGHT[3:]), "required: --domain"),
        ((*_RIGHT, "--descriptor", "a"), "'a' is not KEY=VALUE"),
        ((*_RIGHT, "--descriptor", "a=b,"), "'' is not KEY=VALUE"),
        ((*_RIGHT, "--descriptor", "=b"), "'=b' is not KEY=VALUE"),
        ((*_RIGHT, "--hits", "0"), "'0' is no number from 1 to 4294967295"),
        ((*_RIGHT, "--hits", "4294967296"), "'4294967296' is no number from 1 to 4294967295"),
        ((*_RIGHT, "--hits", "-1"), "'-1' is no number from 1 to 4294967295"),
        ((*_RIGHT, "--hits", "²"), "'²' is no number from 1 to 4294967295"),
    ],
)
def test_a_wrong_call_is_told(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong, on standard error; exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(["ask-rate-limit", *arguments])
    captured = capsys.readouterr()
    assert (caught.value.code, captured.out) == (2, "")
    assert told in captured.err
