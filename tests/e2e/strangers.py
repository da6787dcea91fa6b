"""Thousands of requests in which everything that a client chooses is chosen at random."""

import asyncio
import base64
import json
import re
import string
from collections import Counter
from random import Random
from typing import Final

from tests.e2e.client import HOST
from tests.e2e.counted import JOB, LIMITS, RESULT, UPSCALE

_ON_A_CONNECTION: Final = 25
_CONNECTIONS_AT_A_TIME: Final = 8
_LETTERS: Final = string.ascii_letters + string.digits
_METHODS: Final = (*["GET"] * 6, "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TIMEOUT_S: Final = 10


class Strangers:
    """Clients that never come twice."""

    def __init__(self, port: int, good_key: str, *, seed: int) -> None:
        self._port, self._key = port, good_key
        self._random = Random(seed)  # noqa: S311 - no secrets: a seed that repeats

    async def send(self, requests: int) -> Counter[str]:
        """So many, over connections from as many addresses as there are; the statuses."""
        free = asyncio.Semaphore(_CONNECTIONS_AT_A_TIME)

        async def one() -> Counter[str]:
            async with free, asyncio.timeout(_TIMEOUT_S):
                return await self._converse()

        async with asyncio.TaskGroup() as tasks:
            begun = [tasks.create_task(one()) for _ in range(requests // _ON_A_CONNECTION)]
        return sum((task.result() for task in begun), Counter[str]())

    async def _converse(self) -> Counter[str]:
        """One connection; its last request has a method that nobody knows, so Envoy closes."""
        address = self._address("127.")
        reader, writer = await asyncio.open_connection(HOST, self._port, local_addr=(address, 0))
        methods = [self._random.choice(_METHODS) for _ in range(_ON_A_CONNECTION - 1)]
        statuses = Counter[str]()
        for method in [*methods, self._word(8).upper()]:
            writer.write(self._request(method))
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: (\d+)", head)
            if length is not None and method != "HEAD":
                await reader.readexactly(int(length[1]))
            statuses[head[9:12].decode()] += 1
        writer.close()
        await writer.wait_closed()
        return statuses

    def _request(self, method: str) -> bytes:
        lines = [
            f"{method} {self._target()} HTTP/1.1",
            f"Host: {self._word(8)}.example",
            f"User-Agent: {self._word(12)}",
            f"X-Request-ID: {self._word(20)}",
            f"X-Forwarded-For: {self._address('10.')}",
            f"Origin: https://{self._word(8)}.example",
            f"X-{self._word(6)}: {self._word(6)}",
            *self._credential(),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _target(self) -> str:
        word = self._word(12)
        known = (LIMITS, UPSCALE, JOB.format(job_id=word), RESULT.format(job_id=word), "/healthz")
        random = (f"/{word}", f"/{word}/{self._word(5)}", f"/docs/{word}", f"/api/v1/{word}")
        path = self._random.choice(known + random)
        return f"{path}?{self._word(4)}={self._word(6)}" if self._random.random() < 0.2 else path

    def _credential(self) -> list[str]:
        kind = self._random.randrange(6)
        if kind < 2:
            return []
        if kind == 2:
            return [f"X-API-Key: {self._key}"]
        if kind == 3:
            return [f"Authorization: {self._word(6)} {self._word(9)}"]
        if kind == 4:
            return [f"Authorization: Bearer {self._token()}"]
        return [f"X-API-Key: sk-{self._word(24)}"]

    def _token(self) -> str:
        header = {"alg": self._random.choice(["HS256", self._word(5)]), "kid": self._word(6)}
        claims = {"iss": self._word(8), "sub": self._word(8), "tier": self._word(4)}
        parts = (base64.urlsafe_b64encode(json.dumps(it).encode()) for it in (header, claims))
        return b".".join([*(it.rstrip(b"=") for it in parts), self._word(43).encode()]).decode()

    def _address(self, network: str) -> str:
        return network + ".".join(str(self._random.randrange(1, 255)) for _ in range(3))

    def _word(self, length: int) -> str:
        return "".join(self._random.choices(_LETTERS, k=length))
