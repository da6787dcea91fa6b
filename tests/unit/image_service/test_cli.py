from pathlib import Path

import pytest

from image_service import cli
from image_service.cli import BAD_USAGE, FAILED, OK, main
from image_service.errors import ConfigurationError

_QUEUE = {"IMAGE_QUEUE_URL": "redis://store"}


def test_all_bad_settings_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, every problem on standard error, flags and environment alike."""
    code = main(
        ["serve", "--listen", "nowhere"], {**_QUEUE, "DEBUG": "maybe", "IMAGE_WORKERS": "0"}
    )
    lines = capsys.readouterr().err.splitlines()
    assert code == BAD_USAGE == 2
    assert [line.split(":")[1].strip() for line in lines] == [
        "IMAGE_LISTEN",
        "IMAGE_WORKERS",
        "DEBUG",
    ]


def test_a_flag_wins_over_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearer word counts."""
    main(["work", "--workers", "flag"], {**_QUEUE, "IMAGE_WORKERS": "environment"})
    assert "not 'flag'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["unknown"], ["serve", "--unknown"], ["serve", "--workers", "1"]]
)
def test_wrong_usage_exits_with_two(arguments: list[str]) -> None:
    """The usual code for the usual mistake."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments, {})
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("serve", "IMAGE_LISTEN IMAGE_OPERATIONS_LISTEN IMAGE_QUEUE_LIMIT"),
        ("work", "IMAGE_WORKER_OPERATIONS_LISTEN IMAGE_WORKERS"),
    ],
)
def test_help_names_every_setting(
    command: str, names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody has to read the source to run the service."""
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"], {})
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    shared = ("IMAGE_QUEUE_URL", "REDIS_URL", "IMAGE_FILES_URL", "DEBUG", "Exit codes")
    for word in (*names.split(), *shared):
        assert word in text


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_store_that_cannot_be_named_so_is_a_setting(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the setting's name, and not a word of what stands in it."""
    for wrong in (
        {"IMAGE_QUEUE_URL": "redis://planted@"},
        {**_QUEUE, "IMAGE_FILES_URL": "gs://planted?planted"},
    ):
        assert main([command], wrong) == BAD_USAGE
        text = capsys.readouterr().err
        assert text.startswith(f"image_service: {list(wrong)[-1]}: ")
        assert "planted" not in text


def test_the_fragment_is_printed_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bytes, and what was written passes the check."""
    file = tmp_path / "limits.yaml"
    assert main(["policy-fragment"], {}) == OK == 0
    printed = capsys.readouterr().out
    assert "  job:\n  - {name: jobs, rate: 120/minute}\n" in printed

    assert main(["policy-fragment", "--output", str(file)], {}) == OK
    assert main(["policy-fragment", "--check", str(file)], {}) == OK
    assert file.read_text("utf-8") == printed
    assert capsys.readouterr().out == ""


def test_a_fragment_that_differs_is_shown_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the file says and what the marks say; the file stays as it is."""
    file = tmp_path / "limits.yaml"
    main(["policy-fragment", "--output", str(file)], {})
    changed = file.read_text("utf-8").replace("120/minute", "999/minute", 1)
    file.write_text(changed, "utf-8")

    assert main(["policy-fragment", "--check", str(file)], {}) == FAILED == 1
    assert capsys.readouterr().out == (
        f"--- {file}\n"
        "+++ the marks say\n"
        "@@ -5 +5 @@\n"
        "-  - {name: jobs, rate: 999/minute}\n"
        "+  - {name: jobs, rate: 120/minute}\n"
    )
    assert file.read_text("utf-8") == changed


@pytest.mark.parametrize("flag", ["--check", "--output"])
def test_a_file_that_cannot_be_used_is_one_line(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the file and the reason."""
    assert main(["policy-fragment", flag, str(tmp_path)], {}) == FAILED
    assert capsys.readouterr().err == f"image_service: {tmp_path}: Is a directory\n"


def test_a_file_that_is_no_text_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every other file that cannot be compared."""
    file = tmp_path / "limits.yaml"
    file.write_bytes(b"limits: \xff")
    assert main(["policy-fragment", "--check", str(file)], {}) == FAILED
    assert capsys.readouterr().err == f"image_service: {file}: is no text\n"


def test_marks_that_contradict_each_other_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and one line for each problem."""

    def contradict(_: object) -> str:
        raise ConfigurationError(["one", "two"])

    monkeypatch.setattr(cli, "policy_fragment", contradict)
    assert main(["policy-fragment"], {}) == BAD_USAGE
    assert capsys.readouterr().err == "image_service: one\nimage_service: two\n"


def test_bad_settings_do_not_concern_the_fragment(capsys: pytest.CaptureFixture[str]) -> None:
    """It is written where nothing is served."""
    assert main(["policy-fragment"], {"IMAGE_WORKERS": "none"}) == OK
    assert "limits:" in capsys.readouterr().out
