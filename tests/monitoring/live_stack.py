"""A real stack with every part that the dashboard has a panel for, and what to ask of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authz_service.clock import SystemClock
from authz_service.testing.tokens import Signer, signer
from tests.e2e.client import Reply
from tests.e2e.conftest import encoded
from tests.e2e.counted import CORS_ORIGINS, LIMITS, with_every_refusal
from tests.e2e.jwks_server import JwksServer, jwks_server
from tests.e2e.stack import Stack, default_policy_with_extra_tiers, running

_ISSUER: Final = "https://login.example.com/"
_AUDIENCE: Final = "imagen"
_SIGNER: Final = signer("ES256", "ec-1")
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
