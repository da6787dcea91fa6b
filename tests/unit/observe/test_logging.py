"""Log lines: JSON for machines, text for people, one event a line."""

import errno
import io
import json
import re
from collections.abc import Iterator
from typing import NoReturn

import pytest
import structlog

from authz_service.core.credential import ApiKey, BearerToken
from authz_service.observe.logging import _processors, configure_logging
from authz_service.testing.builders import PlantedSecrets, facts


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def _own_configuration() -> Iterator[None]:
    """Logging is configured for one process; give it back as it was."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def fail(message: str) -> NoReturn:
    """Fail with this message."""
    raise RuntimeError(message)


def logged(stream: io.StringIO) -> list[dict[str, object]]:
    """The JSON lines of a stream."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_the_important_things_first() -> None:
    """Timestamp, severity and message lead; the fields of the event follow."""
    stream = io.StringIO()
    configure_logging(debug=False, stream=stream)
    structlog.get_logger().info("serving", listen="unix:/run/authz.sock", routes=6)
    (line,) = logged(stream)
    assert list(line) == ["timestamp", "severity", "message", "listen", "routes"]
    assert line["message"] == "serving"
    assert line["routes"] == 6


def test_a_timestamp_has_milliseconds_and_is_utc() -> None:
    """Every timestamp is RFC 3339 with exactly three digits and Z."""
    stream = io.StringIO()
    configure_logging(debug=False, stream=stream)
    for _ in range(50):
        structlog.get_logger().info("again")
    for line in logged(stream):
        stamp = str(line["timestamp"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)


def test_a_timestamp_on_the_whole_second_keeps_its_milliseconds() -> None:
    """The format always writes the fraction, also when it is zero."""
    (stamper,) = [
        processor
        for processor in _processors(readable=False, colors=False, project=None)
        if isinstance(processor, structlog.processors.TimeStamper)
    ]
    assert stamper.fmt is not None
    assert stamper.fmt.endswith(".%fZ")


def test_a_line_of_a_trace_is_filed_under_it() -> None:
    """Under its name in the project; a line without a trace has no such field, or half of one."""
    stream = io.StringIO()
    configure_logging(debug=False, project="my-project", stream=stream)
    for trace_id in ({"trace_id": "0af7"}, {"trace_id": ""}, {}):
        structlog.get_logger().info("event", **trace_id)
    with structlog.contextvars.bound_contextvars(trace_id="1bf8"):
        structlog.get_logger().info("event")
    told = [line.get("logging.googleapis.com/trace") for line in logged(stream)]
    prefix = "projects/my-project/traces/"
    assert told == [f"{prefix}0af7", None, None, f"{prefix}1bf8"]


@pytest.mark.parametrize(
    ("method", "severity"),
    [
        ("info", "INFO"),
        ("warning", "WARNING"),
        ("warn", "WARNING"),
        ("error", "ERROR"),
        ("critical", "CRITICAL"),
    ],
)
def test_levels_have_the_names_of_cloud_logging(method: str, severity: str) -> None:
    """Severity is one of Cloud Logging's own names."""
    stream = io.StringIO()
    configure_logging(debug=False, stream=stream)
    getattr(structlog.get_logger(), method)("event")
    assert [line["severity"] for line in logged(stream)] == [severity]


def test_an_exception_is_one_line() -> None:
    """A traceback stands inside its event, so that nothing tears the line apart."""
    stream = io.StringIO()
    configure_logging(debug=False, stream=stream)
    try:
        fail("first line\nsecond line")
    except RuntimeError:
        structlog.get_logger().exception("check failed", request_id="request-1")
    (line,) = logged(stream)
    assert (line["severity"], line["message"]) == ("ERROR", "check failed")
    assert line["request_id"] == "request-1"
    assert "RuntimeError: first line\nsecond line" in str(line["exception"])


def test_a_value_cannot_forge_a_line() -> None:
    """Line breaks and quotes in a value stay inside the value."""
    stream = io.StringIO()
    configure_logging(debug=False, stream=stream)
    forged = 'x"}\n{"severity": "ERROR"'
    structlog.get_logger().info("event", value=forged)
    (line,) = logged(stream)
    assert line["value"] == forged


@pytest.mark.parametrize("fails", ["write", "flush"])
def test_a_log_that_cannot_be_written_stops_nobody(
    fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, or whoever read it is gone: lines are lost until they can be written."""

    def full(*_: str) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    stream = io.StringIO()
    configure_logging(debug=False, stream=stream)
    log = structlog.get_logger()
    with monkeypatch.context() as disk:
        disk.setattr(stream, fails, full)
        log.error("lost", lines=1)
    log.info("written")
    assert logged(stream)[-1]["message"] == "written"


def test_details_are_for_debugging_only() -> None:
    """Debug lines are left out unless asked for."""
    quiet, chatty = io.StringIO(), io.StringIO()
    configure_logging(debug=False, stream=quiet)
    structlog.get_logger().debug("detail")
    configure_logging(debug=True, stream=chatty)
    structlog.get_logger().debug("detail")
    assert quiet.getvalue() == ""
    assert "detail" in chatty.getvalue()


def test_debugging_is_readable_without_colours() -> None:
    """With DEBUG the line is text; colours are for terminals alone."""
    stream = io.StringIO()
    configure_logging(debug=True, stream=stream)
    structlog.get_logger().warning("slow", took="3 s")
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[warning *\] slow +took='3 s'\n", stream.getvalue())


def test_a_terminal_gets_readable_lines_in_colour() -> None:
    """A terminal gets text whether or not anybody debugs."""
    stream = Terminal()
    configure_logging(debug=False, stream=stream)
    structlog.get_logger().info("serving")
    assert "\x1b[" in stream.getvalue()
    assert "serving" in stream.getvalue()
    assert "{" not in stream.getvalue()


@pytest.mark.parametrize("debug", [True, False])
def test_a_traceback_shows_no_credential(planted_secrets: PlantedSecrets, *, debug: bool) -> None:
    """Values that hold credentials can be in a traceback's frames and fields without showing."""
    stream = io.StringIO()
    configure_logging(debug=debug, stream=stream)
    secret = planted_secrets.api_key.encode()
    request = facts(query=f"api_key={planted_secrets.password}", api_keys=(secret,))
    held = [ApiKey(secret), BearerToken(planted_secrets.token.encode())]
    try:
        fail(f"{request} {held}")
    except RuntimeError:
        structlog.get_logger().exception("check failed", facts=request, held=held)
    assert "RuntimeError" in stream.getvalue()
    assert planted_secrets.found_in(stream.getvalue()) == []
