"""Let Envoy finish what it has begun: SIGTERM alone would cut every request off."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector

from authz_service.errors import EnvoyError

FINISH_SECONDS: Final = 30.0
"""How long requests under way are waited for once the door is closed."""

_ACTIVE: Final = "http.public.downstream_rq_active"
_POLL_S: Final = 0.05
_CALL_TIMEOUT: Final = ClientTimeout(total=5)


def _in_silence(_: str) -> None:
    """For whom nobody watches."""


async def drain_envoy(
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
    connector = UnixConnector(str(admin))
    try:
        async with ClientSession(connector=connector, timeout=_CALL_TIMEOUT) as session:
            await _say_goodbye(session, notice_s, say)
            await _tell(session, "drain_listeners")
            say("the door is closed")
            return await _wait_for_the_last(session, finish_s, say)
    except (OSError, ClientError, TimeoutError) as error:
        raise EnvoyError(
            f"no Envoy answers at {admin}: if one runs, AUTHZ_RUN_DIR must be its run folder"
        ) from error


async def _say_goodbye(session: ClientSession, notice_s: float, say: Callable[[str], None]) -> None:
    await _tell(session, "healthcheck/fail")
    if notice_s:
        # Left to itself Envoy would close its listeners when its own time to drain is over.
        await _tell(session, "drain_listeners?graceful&skip_exit")
        say(f"Envoy says goodbye for {notice_s:g} s; requests are still answered")
        await asyncio.sleep(notice_s)


async def _wait_for_the_last(
    session: ClientSession, finish_s: float, say: Callable[[str], None]
) -> int:
    told, active = 0, await _active_requests(session)
    with suppress(TimeoutError):
        async with asyncio.timeout(finish_s):
            while active:
                if active != told:
                    say(f"{active} under way")
                told = active
                await asyncio.sleep(_POLL_S)
                active = await _active_requests(session)
    return active


async def _tell(session: ClientSession, command: str) -> None:
    async with session.post(f"http://envoy/{command}", raise_for_status=True):
        pass


async def _active_requests(session: ClientSession) -> int:
    """Requests on the public port whose answers have not been sent whole.

    Raises:
        ClientError: Envoy answers, but not this.
    """
    statistic = {"filter": f"^{_ACTIVE}$"}
    async with session.get("http://envoy/stats", params=statistic, raise_for_status=True) as answer:
        name, _, value = (await answer.text()).strip().partition(": ")
    # A policy whose listener never came has no such statistic, and no request.
    return int(value) if name == _ACTIVE and value.isdecimal() else 0
