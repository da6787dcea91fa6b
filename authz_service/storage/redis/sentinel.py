"""Where the primary of a service is, as its sentinels say."""

import asyncio
from collections import deque
from typing import Final

from authz_service.addresses import HostAndPort
from authz_service.errors import StoreError
from authz_service.storage.redis.endpoint import Endpoint, SentinelService
from authz_service.storage.redis.link import Link
from authz_service.storage.redis.opening import open_link
from authz_service.storage.redis.places import check_primary, read_named_place

_ASK_TIMEOUT_S: Final = 0.2  # one sentinel, from connecting to its answer
# So that neither silent sentinels nor a primary that hangs use up a whole attempt.
_PRIMARY_TIMEOUT_S: Final = 0.5


class SentinelOpener:
    """Asks the sentinels at every attempt, and believes them once the server itself agrees.

    The one that answered last is asked first. One that is silent, knows nothing, or names a server
    that is not to be had goes to the end of the row: it may be cut off from the others.
    """

    def __init__(self, service: SentinelService, *, timeout_s: float) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._row = deque(service.sentinels)

    def __str__(self) -> str:
        return str(self._service)

    async def open(self) -> Link:
        """Find the primary, connect and log in.

        Raises:
            StoreError: no sentinel names one, or it cannot be used.
        """
        endpoint = await self._find()
        try:
            async with asyncio.timeout(_PRIMARY_TIMEOUT_S):
                return await self._open_primary(endpoint)
        except TimeoutError:
            self._row.rotate(-1)
            raise StoreError(f"{endpoint} does not accept a connection in time") from None
        except StoreError:
            self._row.rotate(-1)
            raise

    async def _find(self) -> Endpoint:
        for _ in range(len(self._row)):
            try:
                async with asyncio.timeout(_ASK_TIMEOUT_S):
                    place = await self._ask(self._row[0])
            except (TimeoutError, StoreError):
                place = None
            if place is not None:
                return self._service.primary.at(place)
            self._row.rotate(-1)
        raise StoreError(f"no sentinel of {self._service} names a primary")

    async def _ask(self, sentinel: Endpoint) -> HostAndPort | None:
        link = await open_link(sentinel, timeout_s=_ASK_TIMEOUT_S)
        try:
            name = self._service.service
            return read_named_place(await link.send(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)))
        finally:
            link.give_up("the sentinel has answered")

    async def _open_primary(self, endpoint: Endpoint) -> Link:
        link = await open_link(endpoint, timeout_s=self._timeout_s)
        try:
            check_primary(await link.send(("ROLE",)))
        except BaseException:
            link.give_up("the server is no primary")
            raise
        return link
