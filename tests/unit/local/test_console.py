"""What the person in front of the stack reads."""

import io
import json
import re

import pytest

from authz_service.local.console import LOCAL_KEYS, Console

ENTRY = {
    "timestamp": "2030-01-01T12:34:56.789Z",
    "status_code": 200,
    "method": "GET",
    "path": "/v1/things",
    "duration_ms": 12.3,
    "subject": "key:dev-free",
    "reason": "ok",
    "request_id": "request-1",
}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def shown(line: bytes, stream: io.StringIO | None = None) -> str:
    """What becomes of one access line."""
    stream = stream or io.StringIO()
    Console(stream).access(line)
    return stream.getvalue()


def test_an_access_line_becomes_one_readable_line() -> None:
    """Time, status, method, path, duration, caller, reason and request id, in this order."""
    assert shown(json.dumps(ENTRY).encode() + b"\n") == (
        "12:34:56.789 200 GET    /v1/things 12.3 ms key:dev-free ok request-1\n"
    )


def test_what_is_missing_is_a_dash() -> None:
    """A request that ended before anything was known of it still has its line."""
    assert shown(b'{"status_code": 0, "duration_ms": 1.0, "request_id": "r"}') == (
        " - -      - 1.0 ms - - r\n"
    )


@pytest.mark.parametrize(
    ("status", "colour"), [(200, "32"), (304, "36"), (404, "33"), (429, "33"), (503, "31")]
)
def test_a_terminal_shows_the_status_in_colour(status: int, colour: str) -> None:
    """Success is green, redirects cyan, the client's faults yellow, ours red."""
    text = shown(json.dumps(ENTRY | {"status_code": status}).encode(), Terminal())
    assert f"\x1b[{colour}m{status}\x1b[0m" in text


def test_a_file_gets_no_colours() -> None:
    """Output that is kept has no escape sequences."""
    assert "\x1b" not in shown(json.dumps(ENTRY).encode())


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"[warning] not an access line\n", "[warning] not an access line\n"),
        (b"[1, 2]\n", "[1, 2]\n"),
        (b"7", "7\n"),
        (b"null", "null\n"),
        (b"\xff\xfe", "\ufffd\ufffd\n"),
        (b"", "\n"),
    ],
)
def test_any_other_line_is_shown_as_it_is(line: bytes, text: str) -> None:
    """Whatever else Envoy prints is passed on, and never ends the stack."""
    assert shown(line) == text


def test_the_banner_can_be_pasted() -> None:
    """The banner names the address, every key with its tier, and the metrics."""
    stream = io.StringIO()
    Console(stream).banner(port=8123)
    text = stream.getvalue()
    assert "http://localhost:8123/api/v1/images/limits" in text
    assert "http://localhost:8123/metrics" in text
    for key in LOCAL_KEYS:
        assert re.search(rf"{key['key']} +{key['tier']}\n", text)
