"""Every series of the stack as one text: what `GET /metrics` shows on the public port here.

For the eyes of one person on one machine. Prometheus scrapes each part by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from authz_service.local.parts import Layout
from authz_service.local.ports import LOOPBACK

_TIMEOUT: Final = ClientTimeout(total=5)
_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@asynccontextmanager
async def all_metrics(layout: Layout) -> AsyncIterator[None]:
    """Answer on a loopback port while the context lasts."""
    ports = (
        layout.authz_operations_port,
        layout.image_operations_port,
        layout.image_worker_operations_port,
        layout.scrape_port,
    )

    async def together(_request: web.BaseRequest) -> web.Response:
        texts = await asyncio.gather(*map(_metrics_of, ports))
        return web.Response(text=merged(texts), headers={"Content-Type": _CONTENT_TYPE})

    server = web.Server(together, access_log=None)
    listener = await asyncio.get_running_loop().create_server(
        server, LOOPBACK, layout.all_metrics_port
    )
    try:
        yield
    finally:
        listener.close()
        await server.shutdown(1)


def merged(texts: Iterable[str]) -> str:
    """One text in which the series of a family stand together, however many parts have some."""
    families: dict[str, list[str]] = {}
    for text in texts:
        told: frozenset[str] = frozenset(families)
        lines = families.setdefault("", [])
        for line in filter(None, text.splitlines()):
            if line.startswith("#"):
                family = line.split(" ", 3)[2]
                lines = families.setdefault(family, [])
                if family in told:
                    continue
            lines.append(line)
    return "".join(f"{line}\n" for lines in families.values() for line in lines)


async def _metrics_of(port: int) -> str:
    """The metrics of one part; nothing, where it does not answer."""
    try:
        async with (
            ClientSession(timeout=_TIMEOUT) as session,
            session.get(f"http://{LOOPBACK}:{port}/metrics", raise_for_status=True) as answer,
        ):
            return await answer.text()
    except (OSError, ClientError):
        return ""
