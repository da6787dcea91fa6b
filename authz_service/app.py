"""The composition root: settings to a wired application. The only place that names the parts."""

import itertools
import random
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc

from authz_service.clock import Clock, SystemClock
from authz_service.core.rules import Policy
from authz_service.engine import Engine
from authz_service.errors import ConfigurationError
from authz_service.identity.api_keys import KeyIndex, load_api_keys
from authz_service.policy.sources import load_policy
from authz_service.settings import Settings
from authz_service.storage.failover import FailoverStore
from authz_service.storage.from_url import store_from_url
from authz_service.storage.memory import MemoryStore
from authz_service.transports.ext_authz import ExtAuthzServicer
from authz_service.transports.health import Health
from authz_service.transports.listeners import build_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything a worker runs. Nothing listens and nothing is connected yet."""

    policy: Policy
    keys: KeyIndex
    store: FailoverStore
    health: Health
    server: grpc.aio.Server


def load_configuration(
    settings: Settings, environment: Mapping[str, str]
) -> tuple[Policy, KeyIndex]:
    """The policy and the keys.

    Raises:
        ConfigurationError: with every problem of both.
    """
    problems: list[str] = []
    policy = None
    try:
        policy = load_policy(settings.policy_file, environment)
    except ConfigurationError as error:
        problems += error.problems
    try:
        keys = load_api_keys(
            settings.api_keys.get_secret_value(), tiers=policy.tiers if policy else None
        )
    except ConfigurationError as error:
        problems += error.problems
    if policy is None or problems:
        raise ConfigurationError(problems)
    return policy, keys


def build(settings: Settings, environment: Mapping[str, str]) -> Application:
    """Wire a worker together. Runs inside the event loop that will serve.

    Raises:
        ConfigurationError: with every problem of policy, keys and store address.
    """
    policy, keys = load_configuration(settings, environment)
    clock: Clock = SystemClock()
    shared = store_from_url(
        settings.store_url.get_secret_value(),
        clock=clock,
        random=random.random,  # noqa: TID251 - jitter of reconnects; passed in from here
    )
    store = FailoverStore(shared, local=MemoryStore(clock), clock=clock)
    engine = Engine(
        policy=policy,
        find_key=keys.find,
        counter=store,
        clock=clock,
        new_id=_decision_ids(),
    )
    health = Health()
    server = build_server(
        settings.grpc_server, authorization=ExtAuthzServicer(engine), health=health
    )
    return Application(policy=policy, keys=keys, store=store, health=health, server=server)


def _decision_ids() -> Callable[[], str]:
    """Ids that are unique over all workers: a random start, then a count. Not a secret.

    A random id for every check would be a system call for every check.
    """
    prefix, numbers = secrets.token_hex(6), itertools.count()
    return lambda: f"{prefix}-{next(numbers):x}"
