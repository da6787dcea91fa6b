"""Let Envoy finish what it has begun: SIGTERM alone would cut every request off."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector

_ACTIVE: Final = "http.public.downstream_rq_active"
_POLL_S: Final = 0.05
_CALL_TIMEOUT: Final = ClientTimeout(total=1)


async def drain_envoy(admin: Path, *, timeout_s: float) -> None:
    """Close the doors, then wait until no request is under way, at most `timeout_s`.

    An Envoy that does not answer has nothing to finish.
    """
    with suppress(OSError, ClientError, TimeoutError):
        async with (
            asyncio.timeout(timeout_s),
            ClientSession(connector=UnixConnector(str(admin)), timeout=_CALL_TIMEOUT) as session,
        ):
            await session.post("http://envoy/healthcheck/fail")
            await session.post("http://envoy/drain_listeners")
            while await _active_requests(session):  # noqa: ASYNC110 - Envoy tells nobody
                await asyncio.sleep(_POLL_S)


async def _active_requests(session: ClientSession) -> bool:
    async with session.get("http://envoy/stats", params={"filter": f"^{_ACTIVE}$"}) as answer:
        return (await answer.text()).strip() != f"{_ACTIVE}: 0"
