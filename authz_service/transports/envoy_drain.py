"""Let Envoy finish what it has begun: SIGTERM alone would cut every request off.

Blocking, and with the standard library alone: this runs while a pod is being stopped, often beside
processors that are short, and what takes long to be imported comes too late.
"""

import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from authz_service.clock import stopwatch
from authz_service.errors import EnvoyError

FINISH_SECONDS: Final = 30.0
"""How long requests under way are waited for once the door is closed."""

_ACTIVE: Final = "http.public.downstream_rq_active"
_OK: Final = 200
_POLL_S: Final = 0.05
_CALL_TIMEOUT_S: Final = 5.0


def _in_silence(_: str) -> None:
    """For whom nobody watches."""


def drain_envoy(
    admin: Path, *, notice_s: float, finish_s: float, say: Callable[[str], None] = _in_silence
) -> int:
    """Drain the Envoy whose admin socket this is; how many requests are under way at the end.

    For `notice_s` Envoy takes requests as ever, but its health checks fail and each answer asks
    for its connection to be closed (RFC 9112 section 9.6; GOAWAY on HTTP/2), so that clients and
    load balancers go elsewhere. Then it takes no more connections, and the requests under way are
    waited for, at most `finish_s`. Its other ports close with the public one.

    Raises:
        EnvoyError: no Envoy answers, or none any more. It has nothing to finish then.
    """
    try:
        _say_goodbye(admin, notice_s, say)
        _ask(admin, "POST", "/drain_listeners")
        say("the door is closed")
        return _wait_for_the_last(admin, finish_s, say)
    except (OSError, HTTPException) as error:
        raise EnvoyError(
            f"no Envoy answers at {admin}: if one runs, AUTHZ_RUN_DIR must be its run folder"
        ) from error


def _say_goodbye(admin: Path, notice_s: float, say: Callable[[str], None]) -> None:
    _ask(admin, "POST", "/healthcheck/fail")
    if notice_s:
        # Left to itself Envoy would close its listeners when its own time to drain is over.
        _ask(admin, "POST", "/drain_listeners?graceful&skip_exit")
        say(f"Envoy says goodbye for {notice_s:g} s; requests are still answered")
        time.sleep(notice_s)


def _wait_for_the_last(admin: Path, finish_s: float, say: Callable[[str], None]) -> int:
    ends = stopwatch() + finish_s
    told, active = 0, _active_requests(admin)
    while active and stopwatch() < ends:
        if active != told:
            say(f"{active} under way")
        told = active
        time.sleep(_POLL_S)
        active = _active_requests(admin)
    return active


def _active_requests(admin: Path) -> int:
    """Requests on the public port whose answers have not been sent whole."""
    text = _ask(admin, "GET", f"/stats?filter=^{_ACTIVE}$")
    name, _, value = text.strip().partition(": ")
    # A policy whose listener never came has no such statistic, and no request.
    return int(value) if name == _ACTIVE and value.isdecimal() else 0


def _ask(admin: Path, method: str, target: str) -> str:
    """What the admin interface answers.

    Raises:
        OSError: nobody is there, or does not answer in time.
        HTTPException: what answers is no Envoy.
    """
    connection = _UnixConnection(admin)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    finally:
        connection.close()
    if answer.status != _OK:
        raise HTTPException(f"{target} is answered with {answer.status}")
    return text


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=_CALL_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Reach the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_CALL_TIMEOUT_S)
        self.sock.connect(str(self._path))
