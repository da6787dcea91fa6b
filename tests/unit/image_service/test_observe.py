import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog
from aiohttp import multipart

from image_service.observe import configure_logging, ctx_logger, request_context, rfc3339
from image_service.testing import ManualClock


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_in_the_documented_form() -> None:
    """Moment, severity, message and request id stand where Cloud Logging looks for them."""
    stream = io.StringIO()
    configure_logging(debug=False, clock=ManualClock(1_705_314_600_007), stream=stream)
    with request_context("abc-123"):
        ctx_logger.info("Processing image", job_id="123", size=1024)
    assert _lines(stream) == [
        {
            "timestamp": "2024-01-15T10:30:00.007Z",
            "severity": "INFO",
            "message": "Processing image",
            "job_id": "123",
            "size": 1024,
            "request_id": "abc-123",
        }
    ]


def test_the_request_id_ends_with_the_request() -> None:
    """A line outside any request carries none."""
    stream = io.StringIO()
    configure_logging(debug=False, clock=ManualClock(), stream=stream)
    with request_context("abc"):
        pass
    ctx_logger.warning("Alone")
    assert "request_id" not in _lines(stream)[0]
    assert _lines(stream)[0]["severity"] == "WARNING"


def test_libraries_write_the_same_form() -> None:
    """What aiohttp logs is one object a line too, traceback included."""
    stream = io.StringIO()
    configure_logging(debug=False, clock=ManualClock(), stream=stream)
    try:
        int("inner\nlines")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Trouble with %s", "it")
    (line,) = _lines(stream)
    assert line["message"] == "Trouble with it"
    assert "ValueError: invalid literal" in str(line["exception"])


def test_debug_lines_are_for_reading() -> None:
    """With DEBUG the line is text and the level is lower."""
    stream = io.StringIO()
    configure_logging(debug=True, clock=ManualClock(1_705_314_600_000), stream=stream)
    ctx_logger.debug("Looking closely", job_id="1")
    line = stream.getvalue()
    assert "2024-01-15T10:30:00.000Z" in line
    assert "Looking closely" in line
    assert not line.startswith("{")


def test_debug_lines_are_silent_otherwise() -> None:
    """Without DEBUG they are not written."""
    stream = io.StringIO()
    configure_logging(debug=False, clock=ManualClock(), stream=stream)
    ctx_logger.debug("Looking closely")
    assert stream.getvalue() == ""


def test_milliseconds_are_three_digits() -> None:
    """The form never changes its width."""
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_705_314_600_999) == "2024-01-15T10:30:00.999Z"


def test_foreign_headers_are_not_remembered() -> None:
    """Python keeps every text it warned with; one that a client writes must not stay in memory."""
    with warnings.catch_warnings():
        configure_logging(debug=False, clock=ManualClock(), stream=io.StringIO())
        multipart.parse_content_disposition('form-data; name="unfinished-7')
        multipart.parse_content_disposition("form-data; name*=nonsense-7")
    remembered = getattr(multipart, "__warningregistry__", {})
    assert "-7" not in str(list(remembered))
