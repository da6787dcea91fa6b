"""Real stacks with every part that the dashboard has a panel for, and what to ask of them."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from authz_service.clock import SystemClock
from authz_service.testing.tokens import Signer, signer
from tests.e2e.client import HOST, Reply
from tests.e2e.conftest import encoded
from tests.e2e.counted import CORS_ORIGINS, LIMITS, stopped, with_every_refusal
from tests.e2e.jwks_server import JwksServer, jwks_server
from tests.e2e.mesh import SERVER, Mesh, mesh
from tests.e2e.processes import children, eventually
from tests.e2e.stack import Stack, default_policy_with_extra_tiers, running

_ISSUER: Final = "https://login.example.com/"
_AUDIENCE: Final = "imagen"
_SIGNER: Final = signer("ES256", "ec-1")
_CERTIFICATE: Final = timedelta(days=30)
_PATIENCE_S: Final = 0.01  # the store is waited for 25 ms
_DESCRIPTORS: Final = """
domain: shop
descriptors:
  - key: user
    rate_limit: {unit: day, requests_per_unit: 5}
"""


@dataclass(frozen=True, slots=True)
class Callers:
    """Keys for every kind of answer, and a token."""

    enterprise: str
    free: str
    brief: str
    token: str

    @classmethod
    def of(cls, stack: Stack) -> "Callers":
        """Whom no other test knows."""
        return cls(
            enterprise=stack.fresh_key("enterprise"),
            free=stack.fresh_key("free"),
            brief=stack.fresh_key("brief"),
            token=token(_SIGNER, _ISSUER),
        )


@contextmanager
def live_stack(folder: Path) -> Iterator[Stack]:
    """A stack with token providers, limits by descriptor and a route in shadow."""
    descriptors = folder / "limits"
    descriptors.mkdir()
    (descriptors / "shop.yaml").write_text(_DESCRIPTORS, "utf-8")
    with jwks_server() as keys:
        keys.publish(_SIGNER)
        with running(
            policy(keys, folder),
            AUTHZ_RATELIMIT_DIR=str(descriptors),
            AUTHZ_RATELIMIT_JSON="true",
            CORS_ORIGINS=CORS_ORIGINS,
        ) as started:
            yield started


@contextmanager
def authorizer() -> Iterator[Mesh]:
    """A service that a gateway asks by TLS, as the local stack does not; with a month to go."""
    with mesh() as started:
        ends = datetime.fromtimestamp(SystemClock().now_ms() // 1000, UTC) + _CERTIFICATE
        started.mount(started.authority.sign(SERVER, ends=ends))
        yield started


def policy(keys: JwksServer, folder: Path) -> dict[str, Any]:
    """The image service's own, with two token providers, one of them away, and more refusals."""
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(keys.ca_pem)
    common = {
        "audiences": [_AUDIENCE],
        "algorithms": ["ES256"],
        "tiers": ["pro"],
        "jwks_ca_file": str(ca_file),
        "jwks_cooldown": "1s",
    }
    changed = with_every_refusal(default_policy_with_extra_tiers())
    changed["jwt"] = [
        {"name": "login", "issuer": _ISSUER, "jwks_url": keys.url, **common},
        {"name": "away", "issuer": "away", "jwks_url": "https://127.0.0.1:1/k.json", **common},
    ]
    routes = {route["name"]: route for route in changed["routes"]}
    routes["job-result"]["shadow"] = True
    return changed


def token(by: Signer, issuer: str) -> str:
    """A token that is good for longer than the test lasts."""
    now_s = SystemClock().now_ms() // 1000
    said = {"iss": issuer, "aud": _AUDIENCE, "sub": "ada", "iat": now_s - 10, "exp": now_s + 600}
    return by.token(said).decode()


def one_of_each(stack: Stack, callers: Callers) -> set[int]:
    """Every kind of request; the statuses that came back."""
    client = stack.client
    away = token(_SIGNER, "away")
    asked = [
        *(client.get(LIMITS, key(callers.free)) for _ in range(3)),  # in the end one too many
        client.get(LIMITS, key("unknown")),
        client.get(LIMITS, bearer(callers.token)),
        client.get(LIMITS, bearer(away)),  # its keys cannot be had
        client.get("/nowhere"),
        client.get("/api/v1/jobs/unknown", key(callers.free)),
        client.get("/api/v1/jobs/unknown/result", key("unknown")),  # in shadow
        client.upload(callers.enterprise, encoded("JPEG")),
        client.upload(callers.brief, bytes(200_000)),
        question(stack, "shop", [{"entries": [{"key": "user", "value": "ann"}]}]),
        question(stack, "shpo", [{"entries": [{"key": "user", "value": "ann"}]}]),
        question(stack, "shop", []),  # is an error
    ]
    return {reply.status for reply in asked}


@contextmanager
def stores_stopped(stack: Stack) -> Iterator[None]:
    """Counters and jobs cannot be reached while the context lasts, and nobody is told so."""
    with stopped(*(pid for pid, it in children(stack.process.pid).items() if "valkey" in it)):
        yield


def give_up(stack: Stack, callers: Callers) -> None:
    """Leave while a check waits for the store, again and again until one was abandoned."""
    asked = f"GET {LIMITS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {callers.enterprise}\r\n\r\n"
    before = _given_up(stack)

    def leave() -> bool:
        with stores_stopped(stack):
            with socket.create_connection((HOST, stack.client.port), _PATIENCE_S) as connection:
                connection.sendall(asked.encode())
                with suppress(TimeoutError):
                    connection.recv(1)
            return _given_up(stack) > before

    eventually(leave)


def _given_up(stack: Stack) -> float:
    text = stack.operations.get("/metrics").body.decode()
    counted = r'^authz_decisions_total{.*decision="abandoned".*} (\S+)$'
    return sum(map(float, re.findall(counted, text, re.MULTILINE)))


def key(value: str) -> list[tuple[str, str]]:
    """The headers of a caller with a key."""
    return [("X-API-Key", value)]


def bearer(value: str) -> list[tuple[str, str]]:
    """The headers of a caller with a token."""
    return [("Authorization", f"Bearer {value}")]


def question(stack: Stack, domain: str, descriptors: object) -> Reply:
    """What another Envoy would ask."""
    body = json.dumps({"domain": domain, "descriptors": descriptors}).encode()
    return stack.operations.send("POST", "/json", [("Content-Type", "application/json")], body)
