"""A client of an admin API, and what stands behind it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.testing.stores import FaultyStore
from authz_service.transports.admin import AdminApi
from tests.unit.identity.key_admins import Managed

TOKEN = "canary-token-" + "0123456789abcdef" * 2
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


@dataclass
class Api:
    """A listener, its keys, and a client that knows the token."""

    listener: AdminApi
    client: ClientSession
    it: Managed
    counters: FaultyStore
    rules: DescriptorRules | None = None
    rules_are_newest: bool = True

    async def ask(self, method: str, path: str, **options: Any) -> Answer:  # noqa: ANN401
        """One request, with the token unless told otherwise."""
        options.setdefault("headers", {})
        options["headers"] = {**AUTHORIZATION, **options["headers"]}
        return await self.ask_bare(method, path, **options)

    async def ask_bare(self, method: str, path: str, **options: Any) -> Answer:  # noqa: ANN401
        """One request as it is."""
        async with self.client.request(method, path, **options) as answer:
            body = await answer.read()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            data = await answer.json() if is_json and body else None
            return Answer(answer.status, answer.headers, body, data)

    async def send(self, content: bytes) -> bytes:
        """Bytes that need be no HTTP, and everything that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        writer.write(content)
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()
