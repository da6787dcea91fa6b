"""The composition root: settings to a wired worker. The only place that names the parts."""

import itertools
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from authz_service.clock import Clock, SystemClock
from authz_service.configuration import Configuration
from authz_service.engine import Engine
from authz_service.identity.jwks_source import JwksSources
from authz_service.observe.metrics import Metrics
from authz_service.settings import Settings
from authz_service.storage.bad_credentials import BadCredentials
from authz_service.storage.failover import FailoverStore
from authz_service.storage.from_url import store_from_url
from authz_service.storage.memory import MemoryStore
from authz_service.transports.ext_authz import ExtAuthzServicer
from authz_service.transports.health import Health
from authz_service.transports.listeners import build_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything a worker runs. Nothing listens and nothing is connected yet."""

    engine: Engine
    store: FailoverStore
    metrics: Metrics
    checks: ExtAuthzServicer
    health: Health
    server: grpc.aio.Server


def build(settings: Settings, configuration: Configuration, metrics: Metrics) -> Application:
    """Wire a worker together. Runs inside the event loop that will serve.

    Raises:
        ConfigurationError: the address of the counter store is wrong.
    """
    clock: Clock = SystemClock()
    shared = store_from_url(
        settings.store_url.get_secret_value(),
        clock=clock,
        random=random.random,  # noqa: TID251 - jitter of reconnects; passed in from here
    )
    store = FailoverStore(shared, local=MemoryStore(clock), clock=clock, metrics=metrics)
    engine = Engine(
        policy=configuration.policy,
        credentials=configuration.credentials,
        counter=store,
        guesses=BadCredentials(clock),
        clock=clock,
        new_id=_decision_ids(),
    )
    tell_loaded(metrics, configuration)
    checks = ExtAuthzServicer(engine, decided=metrics.decided)
    health = Health()
    server = build_server(settings.grpc_server, authorization=checks, health=health)
    return Application(
        engine=engine, store=store, metrics=metrics, checks=checks, health=health, server=server
    )


def signing_key_sources(metrics: Metrics) -> JwksSources:
    """The sources of fetched keys. Nothing is fetched yet."""
    return JwksSources(
        clock=SystemClock(),
        random=random.random,  # noqa: TID251 - jitter of fetches; passed in from here
        events=metrics,
    )


def tell_loaded(metrics: Metrics, configuration: Configuration) -> None:
    """Count a configuration that is in force from now on."""
    metrics.policy_loaded(configuration.policy.digest, at_ms=SystemClock().now_ms())
    metrics.keys_loaded(len(configuration.credentials.keys))


def _decision_ids() -> Callable[[], str]:
    """Ids that are unique over all workers: a random start, then a count. Not a secret.

    A random id for every check would be a system call for every check.
    """
    prefix, numbers = secrets.token_hex(6), itertools.count()
    return lambda: f"{prefix}-{next(numbers):x}"
