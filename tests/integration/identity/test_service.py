"""Tokens in a service of real processes: keys that come, change and stay away."""

import asyncio
import json
import socket
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from authz_service.clock import SystemClock
from authz_service.testing.tokens import SECRET, Signer, claims, signer
from authz_service.wire.services import AUTHORIZATION_SERVICE, CheckRequest, CheckResponse
from tests.integration.identity.conftest import Publisher

ROOT = Path(__file__).parents[3]
ONE, TWO, SIMPLE = signer("ES256", "one"), signer("ES256", "two"), signer("HS256")
KEY = "key-beside-the-tokens"
POLICY = """
version: 1
bad_credentials: 900/minute
tiers:
  free: {{rate: 1000/minute, max_upload: 1MB}}
upstream: {{address: "127.0.0.1:8080"}}
jwt:
  - name: login
    issuer: https://login.example.com/
    audiences: [things]
    algorithms: [ES256]
    jwks_url: {url}
    jwks_ca_file: ca.pem
    jwks_cooldown: 1s
routes:
  - {{name: all, match: {{method: GET, path: /}}}}
"""


@dataclass
class Service:
    """A service under test."""

    folder: Path
    port: int
    output: list[str]

    async def ask(self, name: str, value: bytes) -> int:
        """The status a request with this credential gets; 200 where it may pass."""
        request = CheckRequest()
        request.attributes.context_extensions["route"] = "all"
        http = request.attributes.request.http
        http.method, http.path = "GET", "/"
        http.header_map.headers.add(key=name, raw_value=value)
        async with grpc.aio.insecure_channel(f"unix:{self.folder}/authz-0.sock") as channel:
            call = channel.unary_unary(
                f"/{AUTHORIZATION_SERVICE}/Check",
                request_serializer=CheckRequest.SerializeToString,
                response_deserializer=CheckResponse.FromString,
            )
            answer: CheckResponse = await call(request, timeout=5)
        return answer.denied_response.status.code if answer.status.code else 200

    async def token(self, one: Signer, **changes: object) -> int:
        """The status a request with a token of the present gets."""
        return await self.ask("authorization", b"Bearer " + token_of_now(one, **changes))

    async def until_passes(self, one: Signer) -> None:
        """Ask until a token is good."""

        async def passes() -> bool:
            return await self.token(one) == 200

        await eventually(passes)

    async def until_reloaded(self) -> None:
        """Wait until every process has taken a new policy."""

        async def is_reloaded() -> bool:
            return sum("configuration in force" in line for line in self.output) == 2

        await eventually(is_reloaded)

    async def get(self, path: str) -> str:
        """What the operators' port says."""
        url = f"http://127.0.0.1:{self.port}{path}"

        def read() -> str:
            with urllib.request.urlopen(url, timeout=5) as answer:
                text: str = answer.read().decode()
                return text

        return await asyncio.to_thread(read)

    async def is_ready(self) -> bool:
        """Whether its worker serves."""
        try:
            return '"ready"' in await self.get("/readyz")
        except OSError:
            return False

    async def is_degraded(self) -> bool:
        """Whether it is ready and lacks the provider's keys."""
        return "login" in (await self.readiness())["providers_without_keys"]

    async def readiness(self) -> dict[str, Any]:
        """The details of `/readyz`, which has to be ready."""
        found: dict[str, Any] = json.loads(await self.get("/readyz"))["details"]
        return found


def token_of_now(one: Signer, **changes: object) -> bytes:
    """A token that is good for a minute."""
    now = SystemClock().now_ms() // 1000
    return one.token(claims(iat=now, exp=now + 60, **changes))


@asynccontextmanager
async def serving(publisher: Publisher, **environment: str) -> AsyncIterator[Service]:
    """A service with one worker that trusts the publisher."""
    with tempfile.TemporaryDirectory(prefix="tokens-") as name:
        folder = Path(name)
        (folder / "ca.pem").write_text(publisher.ca_pem)
        (folder / "policy.yaml").write_text(POLICY.format(url=publisher.url))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port: int = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "authz_service", "serve"),
            cwd=ROOT,
            env={
                "AUTHZ_POLICY_FILE": str(folder / "policy.yaml"),
                "AUTHZ_RUN_DIR": str(folder),
                "AUTHZ_DRAIN_SECONDS": "0",
                "AUTHZ_OPERATIONS_LISTEN": f"127.0.0.1:{port}",
                "API_KEYS": json.dumps([{"key": KEY, "name": "one", "tier": "free"}]),
                **environment,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        service = Service(folder, port, [])
        reading = asyncio.create_task(_read(process.stdout, service.output))
        try:
            await eventually(service.is_ready)
            yield service
        finally:
            process.terminate()
            code = await process.wait()
            await reading
        assert (code, service.output[-1].count('"stopped"')) == (0, 1), service.output


async def _read(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode())


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not await is_so():  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.05)


async def test_tokens_follow_the_keys_of_their_provider(publisher: Publisher) -> None:
    """Good from the first check on, rotated within the cooldown, and nothing secret is told."""
    publisher.publish(ONE)
    async with serving(publisher) as service:
        # The worker has fetched before it serves.
        assert await service.token(ONE) == 200
        remembered = token_of_now(ONE, sub="canary-of-the-subject")
        for _ in range(2):
            assert await service.ask("authorization", b"Bearer " + remembered) == 200
        assert await service.token(ONE, aud="other") == 401
        assert await service.token(SIMPLE) == 401
        assert len(publisher.requests) == 1

        publisher.publish(TWO)
        assert await service.token(TWO) == 401
        await service.until_passes(TWO)
        assert await service.ask("authorization", b"Bearer " + remembered) == 401
        assert len(publisher.requests) <= 4

        policy = service.folder / "policy.yaml"
        before = len(publisher.requests)
        policy.write_text(policy.read_text().replace("1000/minute", "999/minute"))
        await service.until_reloaded()
        assert await service.token(TWO) == 200
        assert (await service.readiness())["providers_without_keys"] == []
        metrics = await service.get("/metrics")
        assert 'authz_jwks_keys{provider="login"} 1.0' in metrics
        assert 'authz_jwks_fetches_total{outcome="success",provider="login"}' in metrics
        assert 'authz_token_cache_lookups_total{outcome="hit"}' in metrics
        # A token of a key that was not there may have asked once more.
        assert len(publisher.requests) <= before + 1
        shown = metrics + "".join(service.output)
        assert "canary" not in shown
        assert remembered.decode() not in shown


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_provider_that_is_down_at_the_start_takes_nobody_along(
    publisher: Publisher, *, is_there: bool
) -> None:
    """Keys and simple tokens pass; its own tokens get 503, and `/readyz` names it."""
    publisher.say(b"canary", status=500)
    if not is_there:
        publisher.port = 1
    async with serving(publisher, JWT_SECRET=SECRET.decode()) as service:
        assert await service.ask("x-api-key", KEY.encode()) == 200
        assert await service.token(SIMPLE, iss=None) == 200
        assert await service.token(SIMPLE) == 401
        assert await service.token(ONE) == 503
        await eventually(service.is_degraded)
        if is_there:
            publisher.publish(ONE)
            await service.until_passes(ONE)
        assert "canary" not in "".join(service.output)
        assert SECRET.decode() not in "".join(service.output)


async def test_a_new_provider_is_ready_before_it_is_asked(publisher: Publisher) -> None:
    """Its keys are fetched before the policy that names it is in force: no token gets 503."""
    publisher.publish(ONE)
    async with serving(publisher) as service:
        policy = service.folder / "policy.yaml"
        policy.write_text(policy.read_text().replace("[ES256]", "[ES256, ES384]"))
        reloading = asyncio.create_task(service.until_reloaded())
        statuses: set[int] = set()
        while not reloading.done():
            statuses.add(await service.token(ONE))
        statuses.add(await service.token(ONE))
        await reloading
        assert statuses == {200}
        assert len(publisher.requests) == 2
