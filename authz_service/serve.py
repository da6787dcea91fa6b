"""The service's life: configure Envoy, keep workers running, follow the files, stop in order."""

import asyncio
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
from prometheus_client.samples import Sample

from authz_service.administration import Administration
from authz_service.clock import SystemClock
from authz_service.configuration import (
    Configuration,
    ConfigurationWatch,
    Section,
    digests,
    load_configuration,
)
from authz_service.envoy_files import admin_socket, write_envoy_files
from authz_service.errors import ConfigurationError, StackError, UnanswerableError
from authz_service.identity.peppers import others_may_read
from authz_service.observe.build_info import build_info
from authz_service.observe.merge import Merger
from authz_service.observe.metrics import (
    FALLBACK_GAUGE,
    GAUGE_RULES,
    JWKS_KEYS_GAUGE,
    KEY_STORE_GAUGE,
)
from authz_service.observe.process_series import Process, ProcessSeries
from authz_service.observe.rate_limit_series import json_refusals
from authz_service.observe.restart_series import worker_restarts
from authz_service.observe.tracing import require_packages
from authz_service.policy.notes import warnings
from authz_service.run_folder import claimed
from authz_service.settings import Settings
from authz_service.signals import stop_event, until
from authz_service.supervise.process import Part
from authz_service.supervise.workers import Workers
from authz_service.transports.certificates import load_certificates, tls_files
from authz_service.transports.envoy_updates import EnvoyUpdates
from authz_service.transports.operations import Endpoints, Operations, Phase, Status
from authz_service.transports.probe import is_serving, is_there
from authz_service.transports.rate_limit_client import ask
from authz_service.transports.rate_limit_http import healthcheck_endpoint, json_endpoint
from authz_service.transports.scrape import Scrape
from authz_service.wire.services import RateLimitRequest, RateLimitResponse
from authz_service.worker import metrics_socket
from authz_service.worker_addresses import local_addresses, open_addresses

# What a killed worker counted since the last look is lost.
_SNAPSHOT_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


async def serve(settings: Settings, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Must run in the main thread.

    Raises:
        ConfigurationError: settings, policy, keys or certificates are wrong, or packages for traces
            are missing; nothing was started.
        ListenError: an address is taken, or the run folder cannot be written.
        StackError: the workers die faster than it makes sense to start them.
    """
    stop = stop_event()
    configuration = _checked_configuration(settings, environment)
    service = _Service(settings, environment, configuration=configuration, stop=stop)
    # A second service must fail before it touches what the first one's Envoy follows.
    with claimed(settings.run_dir):
        await service.start()
        _write_envoy_files(configuration, settings)
        await _serve(service, configuration, settings=settings, stop=stop)


def _checked_configuration(settings: Settings, environment: Mapping[str, str]) -> Configuration:
    """The configuration, if the workers could start with it, with certificates and with traces.

    Raises:
        ConfigurationError: with every problem there is.
    """
    problems: list[str] = []
    try:
        if settings.otlp_endpoint is not None:
            require_packages()
    except ConfigurationError as error:
        problems += error.problems
    try:
        if (files := tls_files(settings)) is not None:
            load_certificates(files, now_ms=SystemClock().now_ms())
    except ConfigurationError as error:
        problems += error.problems
    try:
        configuration = load_configuration(settings, environment)
    except ConfigurationError as error:
        raise ConfigurationError([*error.problems, *problems]) from None
    if problems:
        raise ConfigurationError(problems)
    return configuration


async def _serve(
    service: "_Service", configuration: Configuration, *, settings: Settings, stop: asyncio.Event
) -> None:
    _log_start(configuration, settings)
    try:
        await until(stop, service.run())
    finally:
        await service.stop()
    _log.info("stopped")


class _Service:
    """The parts that live as long as the service, wired together."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        *,
        configuration: Configuration,
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._policy = configuration.policy
        self._descriptors = configuration.descriptors
        self._turns = itertools.count()
        restarts = worker_restarts()
        self._workers = Workers(
            lambda index: worker_part(index, settings, environment),
            count=settings.workers,
            clock=SystemClock(),
            answers=lambda index: is_there(local_addresses(settings)[index]),
            died=self._worker_died,
            restarted=restarts.count,
        )
        self._watch = ConfigurationWatch(
            settings=settings, environment=environment, current=configuration, adopt=self._adopt
        )
        self._merger = Merger(GAUGE_RULES)
        self._envoy = EnvoyUpdates(admin_socket(settings))
        self._scrape = Scrape(
            self._merger,
            workers=self._expositions,
            envoy_admin=admin_socket(settings),
            prefix=lambda: self._policy.metrics_prefix,
        )
        self._scrape.register(self._envoy.collector)
        self._scrape.register(restarts.collector)
        self._scrape.register(build_info())
        self._scrape.register(ProcessSeries(Process.SUPERVISOR))
        place = settings.operations_listen
        self._operations = Operations(
            place.host,
            port=place.port,
            metrics=self._scrape,
            status=self._status,
            more=self._rate_limit_endpoints(),
        )
        self._admin = (
            Administration(
                settings,
                policy=lambda: self._policy,
                rules=lambda: self._descriptors,
                is_newest=lambda: Section.DESCRIPTORS not in self._watch.status.refused,
            )
            if settings.has_admin_api
            else None
        )

    async def start(self) -> None:
        """Listen for operators.

        Raises:
            ListenError: an address is taken, or not ours.
        """
        await self._operations.start()
        if self._admin is not None:
            await self._admin.start()

    async def run(self) -> None:
        """Everything that goes on while the service serves; the first failure ends it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._workers.run())
                tasks.create_task(self._watch.run())
                tasks.create_task(self._envoy.run())
                tasks.create_task(self._take_snapshots())
        except* StackError as group:
            raise group.exceptions[0] from None

    async def stop(self) -> None:
        """Drain the workers; `/readyz` says so meanwhile."""
        async with asyncio.TaskGroup() as tasks:  # no worker waits for a slow operator
            tasks.create_task(self._workers.stop())
            if self._admin is not None:
                tasks.create_task(self._admin.stop())
        await self._operations.stop()

    async def _adopt(self, loaded: Configuration) -> None:
        self._descriptors = loaded.descriptors  # first: Envoy's files have no part in them
        _warn_of_open_peppers(self._settings)
        _warn_of_no_limits(loaded)
        await asyncio.to_thread(_write_envoy_files, loaded, self._settings)
        self._policy = loaded.policy

    async def _take_snapshots(self) -> None:
        while True:
            await asyncio.sleep(_SNAPSHOT_SECONDS)
            await self._scrape.refresh()

    def _expositions(self) -> Mapping[str, Path]:
        """Where each living worker tells its metrics; a restarted worker is another one."""
        return {
            _name(index, pid): metrics_socket(index, self._settings)
            for index, pid in self._workers.serving.items()
        }

    def _worker_died(self, index: int, pid: int) -> None:
        self._merger.retire(_name(index, pid))

    def _rate_limit_endpoints(self) -> Endpoints:
        """Those of the rate limit service that descriptor files come from, where there are any."""
        if self._settings.ratelimit_dir is None:
            return {}
        healthcheck = healthcheck_endpoint(lambda: self._phase() is Phase.READY)
        endpoints = {("GET", "/healthcheck"): healthcheck}
        if self._settings.ratelimit_json:
            series = json_refusals()
            self._scrape.register(series.collector)
            endpoints["POST", "/json"] = json_endpoint(self._ask_a_worker, refused=series.count)
        return endpoints

    async def _ask_a_worker(self, question: RateLimitRequest) -> RateLimitResponse:
        """Put a question to one of the workers, in turn. It is not asked twice, it counts."""
        serving = sorted(self._workers.serving)
        if not serving:
            raise UnanswerableError("no worker serves")
        index = serving[next(self._turns) % len(serving)]
        return await ask(local_addresses(self._settings)[index], question)

    def _phase(self) -> Phase:
        if self._stop.is_set():
            return Phase.DRAINING
        return Phase.READY if self._workers.serving else Phase.STARTING

    def _status(self) -> Status:
        watch = self._watch.status
        return Status(
            self._phase(),
            {
                **watch.in_force,
                "not_in_force": [part.value for part in watch.refused],
                "refused": list(watch.problems),
                "workers": {"serving": len(self._workers.serving), "of": self._settings.workers},
                "envoy": self._envoy_status(),
                "store": "degraded"
                if any(it.value for it in self._gauge(FALLBACK_GAUGE))
                else "ok",
                **self._key_store_status(),
                "providers_without_keys": self._providers_without_keys(),
            },
        )

    def _key_store_status(self) -> dict[str, object]:
        """Where there is a key store: whether every worker can read it."""
        if not self._settings.has_key_store:
            return {}
        is_read = [it.value for it in self._gauge(KEY_STORE_GAUGE)] == [1]
        return {"key_store": "ok" if is_read else "degraded"}

    def _envoy_status(self) -> str:
        if not self._envoy.has_been_seen:
            return "unknown"
        return "refuses its configuration" if self._envoy.is_rejecting else "ok"

    def _providers_without_keys(self) -> list[str]:
        """Those whose tokens some worker cannot check, as its last snapshot tells."""
        return [
            sample.labels["provider"] for sample in self._gauge(JWKS_KEYS_GAUGE) if not sample.value
        ]

    def _gauge(self, name: str) -> Sequence[Sample]:
        """A gauge over all workers, as their last snapshots tell."""
        return [
            sample
            for family in self._merger.families()
            if family.name == name
            for sample in family.samples
        ]


def worker_part(index: int, settings: Settings, environment: Mapping[str, str]) -> Part:
    """How one worker is started, and how to ask it whether it serves."""
    address = local_addresses(settings)[index]
    return Part(
        name=f"worker {index}",
        command=(sys.executable, "-m", "authz_service", "worker", str(index)),
        ready=lambda: is_serving(address),
        environment=environment,
        stop_timeout_s=settings.drain_seconds + 5.0,
    )


def _write_envoy_files(configuration: Configuration, settings: Settings) -> None:
    """Without a policy there is nothing that Envoy could be told."""
    if settings.policy_file is not None:
        write_envoy_files(configuration.policy, settings, settings.run_dir)


def _name(index: int, pid: int) -> str:
    return f"{index}-{pid}"


def _log_start(configuration: Configuration, settings: Settings) -> None:
    policy = configuration.policy
    _log.info(
        "starting",
        **digests(configuration),
        routes=len(policy.routes),
        workers=settings.workers,
    )
    _warn_of_open_peppers(settings)
    _warn_of_no_limits(configuration)
    if settings.policy_file is None:
        _log.warning("no policy: checks are all refused, and Envoy's configuration is not written")
    if settings.counts_in_memory:
        _log.warning("counting in this process's memory: REDIS_URL is not set")
    if addresses := open_addresses(settings):
        _log.warning(
            "whoever reaches the port may ask: AUTHZ_TLS_CLIENT_CA_FILE is not set",
            listen=addresses,
            in_the_clear=not settings.has_tls,
        )
    for warning in warnings(policy):
        _log.warning("the policy says more than is enforced", warning=warning)


def _warn_of_open_peppers(settings: Settings) -> None:
    file = settings.pepper_file
    if file is not None and others_may_read(file):
        _log.warning("the pepper file can be read by others than its owner", file=str(file))


def _warn_of_no_limits(configuration: Configuration) -> None:
    """Right files without a limit are no mistake that a load could refuse, and let all pass."""
    rules = configuration.descriptors
    if rules is not None and rules.is_empty:
        _log.warning("no descriptor file has a limit: questions about descriptors all pass")
