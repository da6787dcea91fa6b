"""An admin API over real HTTP, with a store in memory behind it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count

import pytest
from aiohttp import ClientSession

from authz_service.addresses import HostAndPort
from authz_service.storage.memory import MemoryStore
from authz_service.testing.builders import policy, quota, rate, route, tier
from authz_service.testing.stores import FaultyStore
from authz_service.transports.admin import AdminApi
from authz_service.transports.admin_keys import key_routes
from authz_service.transports.admin_rate_limit import rate_limit_routes
from authz_service.transports.admin_usage import key_usage_routes, usage_routes
from tests.integration.admin.api import TOKEN, Api
from tests.unit.identity.key_admins import Managed

TIERS = [tier("free", rate=rate(10), quota=quota(500)), tier("pro", rate=rate(60))]
ROUTE = route(limits=(rate(5, name="burst", window_ms=10_000),), tiers=TIERS)
POLICY = policy([replace(ROUTE, global_limits=(rate(600, name="total"),))], tiers=TIERS)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """An admin API on a free port."""
    managed, ids = Managed(), count(1)
    counters = FaultyStore(MemoryStore(managed.clock))
    listener = AdminApi(
        HostAndPort("127.0.0.1", 0),
        token=TOKEN,
        routes=(
            *key_routes(managed.admin, now_ms=managed.clock.now_ms),
            *usage_routes(counters, policy=lambda: POLICY),
            *key_usage_routes(counters, managed.admin, policy=lambda: POLICY),
            *rate_limit_routes(lambda: served.rules, lambda: served.rules_are_newest),
        ),
        new_id=lambda: f"request-{next(ids)}",
    )
    await listener.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{listener.port}") as client:
            served = Api(listener, client, managed, counters)
            yield served
    finally:
        await listener.stop()
