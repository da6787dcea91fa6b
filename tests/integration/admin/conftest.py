"""An admin API over real HTTP, with a store in memory behind it."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
from aiohttp import ClientSession

from authz_service.addresses import HostAndPort
from authz_service.transports.admin import AdminApi
from authz_service.transports.admin_keys import key_routes
from tests.integration.admin.api import TOKEN, Api
from tests.unit.identity.key_admins import Managed


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """An admin API on a free port."""
    managed, ids = Managed(), count(1)
    listener = AdminApi(
        HostAndPort("127.0.0.1", 0),
        token=TOKEN,
        routes=key_routes(managed.admin, now_ms=managed.clock.now_ms),
        new_id=lambda: f"request-{next(ids)}",
    )
    await listener.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{listener.port}") as client:
            yield Api(listener, client, managed)
    finally:
        await listener.stop()
