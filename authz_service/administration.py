"""The admin API with everything behind it: keys, counters, and the stores that hold them."""

import secrets
from collections.abc import Callable
from typing import Final

from authz_service.clock import SystemClock
from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.rules import Policy
from authz_service.key_service import key_admin, open_key_store
from authz_service.settings import Settings
from authz_service.storage.from_url import store_from_url
from authz_service.transports.admin import AdminApi
from authz_service.transports.admin_keys import key_routes, no_key_routes
from authz_service.transports.admin_rate_limit import rate_limit_routes
from authz_service.transports.admin_usage import key_usage_routes, usage_routes

_COUNTER_TIMEOUT_MS: Final = 2_000  # an operator waits longer than a request may


class Administration:
    """What operators manage over HTTP. `policy` and `rules` are those in force, asked each time.

    `is_newest` says whether `rules` are those of the newest files.
    Without a key store there is nothing about keys.
    Counters in a worker's memory are out of reach: then there is nothing about usage.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        policy: Callable[[], Policy],
        rules: Callable[[], DescriptorRules | None],
        is_newest: Callable[[], bool],
    ) -> None:
        clock = SystemClock()
        self._keys = (
            open_key_store(settings.keys_url.get_secret_value()) if settings.has_key_store else None
        )
        self._counters = store_from_url(
            settings.store_url.get_secret_value(),
            clock=clock,
            random=lambda: 0.5,  # one process: there is nothing to spread
            timeout_ms=_COUNTER_TIMEOUT_MS,
        )
        routes = rate_limit_routes(rules, is_newest)
        if not settings.counts_in_memory:
            routes += usage_routes(self._counters, policy=policy)
        if self._keys is None:
            routes += no_key_routes()
        else:
            keys = key_admin(
                self._keys,
                pepper_file=settings.pepper_file,
                actor="admin-api",
                tiers=lambda: policy().tiers,
            )
            routes += key_routes(keys, now_ms=clock.now_ms)
            if not settings.counts_in_memory:
                routes += key_usage_routes(self._counters, keys, policy=policy)
        self._api = AdminApi(
            settings.admin_listen,
            token=settings.admin_token.get_secret_value(),
            routes=routes,
            new_id=lambda: secrets.token_hex(8),
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the port is taken, or the address is not ours.
        """
        await self._api.start()

    async def stop(self) -> None:
        """Stop listening, let requests in hand end, and let go of the stores."""
        await self._api.stop()
        if self._keys is not None:
            await self._keys.close()
        await self._counters.close()
