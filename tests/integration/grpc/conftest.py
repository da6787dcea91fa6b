"""A policy with a route for every way to fail, served by both gRPC servers."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from authz_service.core.rules import Policy
from authz_service.engine import Engine
from authz_service.identity.api_keys import Source, load_api_keys
from authz_service.identity.credentials import Credentials
from authz_service.identity.key_index import KeyIndex
from authz_service.observe.metrics import Metrics
from authz_service.settings import GrpcServer
from authz_service.storage.bad_credentials import BadCredentials
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import StandIn
from authz_service.testing.builders import PlantedSecrets, read_policy
from authz_service.testing.clock import ManualClock
from authz_service.testing.server import Worker, serving
from authz_service.testing.stores import FaultyStore

NOW_MS = 1_900_000_000_000
POLICY = """
version: 1
tiers:
  anonymous: {rate: 1/minute, max_upload: 1MB}
  free: {rate: 2/minute, quota: 3/day, max_upload: 5MB}
upstream: {address: "127.0.0.1:8080"}
routes:
  - {name: things, match: {method: GET, path: /v1/things}}
  - {name: limits, match: {method: GET, path: /v1/limits}, authentication: optional,
     forward_limits: true}
  - {name: allowing, match: {method: GET, path: /v1/allowing}, on_store_failure: allow}
  - {name: denying, match: {method: GET, path: /v1/denying}, on_store_failure: deny}
  - {name: free, match: {method: GET, path: /v1/free}, cost: 0}
  - {name: open, match: {method: GET, path: /open}, authentication: none}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A worker, and the things it decides with."""

    worker: Worker
    engine: Engine
    clock: ManualClock
    store: FaultyStore
    auth: ModuleType
    core: ModuleType

    async def ask(self, path: str, *headers: tuple[str, bytes], route: str = "") -> object:
        """Ask as Envoy does; the answer as an independent implementation reads it."""
        return self.read(await self.worker.check(self.question(path, *headers, route=route)))

    def question(self, path: str, *headers: tuple[str, bytes], route: str = "") -> bytes:
        """What Envoy would send."""
        everything = [("x-envoy-external-address", b"203.0.113.7"), *headers]
        values = [self.core.HeaderValue(key=name, raw_value=value) for name, value in everything]
        request = self.auth.CheckRequest(
            attributes=self.auth.AttributeContext(
                request=self.auth.AttributeContextRequest(
                    http=self.auth.AttributeContextHttpRequest(
                        method="GET", path=path, header_map=self.core.HeaderMap(headers=values)
                    )
                ),
                context_extensions={"route": route} if route else {},
            )
        )
        return bytes(request)

    def read(self, answer: bytes) -> object:
        """An answer as an independent implementation reads it."""
        parsed: object = self.auth.CheckResponse.parse(answer)
        return parsed


@pytest.fixture(params=GrpcServer)
def kind(request: pytest.FixtureRequest) -> GrpcServer:
    """Each test runs on both gRPC servers."""
    return GrpcServer(request.param)


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock(NOW_MS)


@pytest.fixture
def policy() -> Policy:
    """The policy of these tests."""
    return read_policy(POLICY)


@pytest.fixture
def keys(planted_secrets: PlantedSecrets) -> KeyIndex:
    """One good key; others that are disabled, expired, or of a tier the policy does not have."""
    entries = [
        {"key": planted_secrets.api_key, "name": "Good", "tier": "free", "id": "good"},
        {"key": "sk-disabled", "name": "Disabled", "tier": "free", "disabled": True},
        {
            "key": "sk-expired",
            "name": "Expired",
            "tier": "free",
            "expires_at": "2020-01-01T00:00:00Z",
        },
        {"key": "sk-other-tier", "name": "Of a tier that is gone", "tier": "gold"},
    ]
    return load_api_keys([Source("API_KEYS", json.dumps(entries))], tiers=None)


@pytest.fixture
async def stack(  # noqa: PLR0917 - fixtures are passed by name
    kind: GrpcServer,
    clock: ManualClock,
    policy: Policy,
    keys: KeyIndex,
    auth: ModuleType,
    core: ModuleType,
    tmp_path: Path,
) -> AsyncIterator[Stack]:
    """A worker on a Unix socket."""
    store = FaultyStore(MemoryStore(clock))
    engine = Engine(
        policy=policy,
        credentials=Credentials(keys=keys),
        guesses=BadCredentials(clock),
        counter=FailoverStore(store, stand_in=StandIn(clock), clock=clock, metrics=Metrics()),
        clock=clock,
        new_id=lambda: "decision-1",
    )
    async with serving(engine, kind=kind, address=f"unix:{tmp_path / 'authz.sock'}") as worker:
        yield Stack(worker=worker, engine=engine, clock=clock, store=store, auth=auth, core=core)
