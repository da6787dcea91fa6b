import pytest

from image_service.cli import BAD_USAGE, main


def test_all_bad_settings_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, every problem on standard error, flags and environment alike."""
    code = main(["serve", "--listen", "nowhere"], {"IMAGE_WORKERS": "none", "DEBUG": "maybe"})
    lines = capsys.readouterr().err.splitlines()
    assert code == BAD_USAGE == 2
    assert [line.split(":")[1].strip() for line in lines] == [
        "IMAGE_LISTEN",
        "IMAGE_WORKERS",
        "DEBUG",
    ]


def test_a_flag_wins_over_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearer word counts."""
    main(["serve", "--workers", "flag"], {"IMAGE_WORKERS": "environment"})
    assert "not 'flag'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["serve", "--unknown"]])
def test_wrong_usage_exits_with_two(arguments: list[str]) -> None:
    """The usual code for the usual mistake."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments, {})
    assert stopped.value.code == 2


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has to read the source to run the service."""
    with pytest.raises(SystemExit) as stopped:
        main(["serve", "--help"], {})
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    names = ("LISTEN", "OPERATIONS_LISTEN", "WORKERS", "QUEUE_LIMIT")
    for word in (*(f"IMAGE_{name}" for name in names), "DEBUG", "Exit codes"):
        assert word in text
