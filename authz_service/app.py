"""The composition root: settings to a wired worker. The only place that names the parts."""

import itertools
import random
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace

import grpc

from authz_service.clock import Clock, SystemClock
from authz_service.configuration import Configuration, Section, TokenParts, load_configuration
from authz_service.core.descriptor_answer import AnswerOptions, HeaderNames
from authz_service.descriptor_limiter import DescriptorLimiter
from authz_service.engine import Engine
from authz_service.identity.credentials import Credentials
from authz_service.identity.jwks_source import JwksSources
from authz_service.identity.key_feed import KeyFeed
from authz_service.identity.last_used import LastUsed
from authz_service.identity.store_keys import StoreKeys
from authz_service.limiter import GlobalLimiter, Limiter
from authz_service.observe.decision_log import DecisionLog, Shares
from authz_service.observe.metrics import Metrics
from authz_service.observe.tls_series import TlsSeries
from authz_service.observe.tracing import Tracer
from authz_service.observe.unknown_domains import UnknownDomains
from authz_service.settings import Settings
from authz_service.storage.bad_credentials import BadCredentials
from authz_service.storage.failover import FailoverStore
from authz_service.storage.from_url import (
    key_changes_from_url,
    store_from_url,
    use_log_from_url,
)
from authz_service.storage.stand_in import StandIn
from authz_service.storage.traced import TracedStore
from authz_service.transports.certificates import tls_files
from authz_service.transports.client_names import ClientNames
from authz_service.transports.ext_authz import Decided, ExtAuthzServicer
from authz_service.transports.health import Health
from authz_service.transports.in_flight import InFlight
from authz_service.transports.listeners import build_server
from authz_service.transports.rate_limit import RateLimitServicer
from authz_service.transports.tls import Tls
from authz_service.transports.traced import TracedAuthorization, TracedRateLimit, telling
from authz_service.wire.services import (
    AUTHORIZATION_SERVICE,
    RATE_LIMIT_HEALTH,
    AuthorizationServicer,
    RateLimitServiceServicer,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything a worker runs. Nothing listens and nothing is connected yet.

    `upkeep` goes on for as long as checks are answered.
    """

    engine: Engine
    global_limits: GlobalLimiter
    descriptors: DescriptorLimiter
    store: FailoverStore
    metrics: Metrics
    in_flight: InFlight
    health: Health
    server: grpc.aio.Server
    store_keys: StoreKeys | None
    tls: Tls | None
    upkeep: tuple[Callable[[], Coroutine[None, None, None]], ...]

    def use(self, configuration: Configuration) -> None:
        """Decide by another configuration from the next check on."""
        if self.store_keys is not None:
            self.store_keys.configure(configuration.credentials.keys)
        self.engine.use(configuration.policy, _credentials(configuration, self.store_keys))
        self.global_limits.use(configuration.policy)
        self.descriptors.use(configuration.descriptors)
        self.store.forget_denials()

    def tell_loaded(self, configuration: Configuration) -> None:
        """Count what was read: what is in force from now on, and what is refused."""
        if Section.POLICY in configuration.read:
            self._tell_policy(configuration)
        if Section.DESCRIPTORS in configuration.read:
            self._tell_descriptors(configuration)

    def _tell_policy(self, configuration: Configuration) -> None:
        if Section.POLICY in configuration.refused:
            self.metrics.policy_refused()
            return
        at_ms = SystemClock().now_ms()
        self.metrics.policy_loaded(configuration.policy.digest, at_ms=at_ms)
        self.metrics.keys_loaded(len(configuration.credentials.keys))

    def _tell_descriptors(self, configuration: Configuration) -> None:
        if Section.DESCRIPTORS in configuration.refused:
            self.metrics.descriptor_files.refused()
        elif configuration.descriptors is not None:
            limits = configuration.descriptors.limit_count
            self.metrics.descriptor_files.loaded(limits, at_ms=SystemClock().now_ms())


def build(
    settings: Settings,
    configuration: Configuration,
    metrics: Metrics,
    tracer: Tracer | None = None,
) -> Application:
    """Wire a worker together. Runs inside the event loop that will serve.

    Without a tracer nothing stands in the way of a check that would look for one.

    Raises:
        ConfigurationError: the address of a store is wrong, or files of TLS are.
    """
    clock: Clock = SystemClock()
    shared = store_from_url(
        settings.store_url.get_secret_value(),
        clock=clock,
        random=random.random,  # noqa: TID251 - jitter of reconnects; passed in from here
    )
    if tracer is not None:
        shared = TracedStore(shared, tracer)
    stand_in = StandIn(clock, sharing=settings.processes_sharing_limits)
    store = FailoverStore(shared, stand_in=stand_in, clock=clock, metrics=metrics)
    metrics.fallback_followed(lambda: store.failing_ms / 1000 / settings.workers)
    store_keys = _store_keys(settings, configuration, clock)
    engine = Engine(
        policy=configuration.policy,
        credentials=_credentials(configuration, store_keys),
        counter=store,
        guesses=BadCredentials(clock),
        clock=clock,
        new_id=_decision_ids(),
        staged=metrics.stages.passed,
    )
    global_limits = GlobalLimiter(configuration.policy, store)
    descriptors = DescriptorLimiter(
        configuration.descriptors,
        store,
        options=_answer_options(settings),
        near_ratio=settings.ratelimit_near,
        told=metrics.rule_hit,
        domain_unknown=UnknownDomains(clock, counted=metrics.rate_limit.domain_unknown).asked_for,
    )
    limiter = Limiter(of_policy=global_limits, of_files=descriptors)
    in_flight = InFlight()
    decided = (metrics.decided, _decision_log(settings, clock, metrics).decided)
    health = Health([AUTHORIZATION_SERVICE, RATE_LIMIT_HEALTH])
    tls_series = TlsSeries()
    tls = _tls(settings, clock, tls_series)
    server = build_server(
        settings.grpc_server,
        authorization=_checks(engine, in_flight, decided, tracer),
        rate_limit=_questions(limiter, in_flight, metrics, tracer),
        health=health,
        interceptors=_interceptors(settings, clock, tls_series),
    )
    application = Application(
        engine=engine,
        global_limits=global_limits,
        descriptors=descriptors,
        store=store,
        metrics=metrics,
        in_flight=in_flight,
        health=health,
        server=server,
        store_keys=store_keys,
        tls=tls,
        upkeep=_upkeep(settings, store_keys, tls, clock, metrics),
    )
    if tls is not None:
        metrics.register(tls_series)
    application.tell_loaded(configuration)
    return application


def _checks(
    engine: Engine, in_flight: InFlight, decided: tuple[Decided, ...], tracer: Tracer | None
) -> AuthorizationServicer:
    if tracer is None:
        return ExtAuthzServicer(engine, in_flight=in_flight, decided=decided)
    told = (*decided, telling(tracer))
    return TracedAuthorization(ExtAuthzServicer(engine, in_flight=in_flight, decided=told), tracer)


def _questions(
    limiter: Limiter, in_flight: InFlight, metrics: Metrics, tracer: Tracer | None
) -> RateLimitServiceServicer:
    servicer = RateLimitServicer(limiter, in_flight=in_flight, series=metrics.rate_limit)
    return servicer if tracer is None else TracedRateLimit(servicer, tracer)


async def read_now(settings: Settings, environment: Mapping[str, str]) -> Configuration:
    """The configuration with all that a worker would know beside it, for a process that only looks.

    Keys of providers are fetched for as long as a worker waits for them; those that did not come
    are missing here as well.

    Raises:
        ConfigurationError: the files or the address of a store are wrong.
        StoreError: the key store did not answer.
    """
    metrics = Metrics()
    sources = signing_key_sources(metrics)
    configuration = load_configuration(settings, environment, TokenParts(remote=sources.find))
    await sources.follow(configuration.credentials.tokens.sources)
    clock = SystemClock()
    store_keys = _store_keys(settings, configuration, clock)
    if store_keys is not None:
        await _key_feed(settings, store_keys, clock, metrics).read_once()
    credentials = _credentials(configuration, store_keys)
    return replace(configuration, callers=replace(configuration.callers, credentials=credentials))


def signing_key_sources(metrics: Metrics) -> JwksSources:
    """The sources of fetched keys. Nothing is fetched yet."""
    return JwksSources(
        clock=SystemClock(),
        random=random.random,  # noqa: TID251 - jitter of fetches; passed in from here
        events=metrics,
    )


def _decision_log(settings: Settings, clock: Clock, metrics: Metrics) -> DecisionLog:
    shares = Shares(denials=settings.decision_log_denials, allows=settings.decision_log_allows)
    log = DecisionLog(shares, clock=clock)
    metrics.register(log.collector)
    return log


def _answer_options(settings: Settings) -> AnswerOptions:
    names = settings.ratelimit_headers
    return AnswerOptions(
        shadow=settings.ratelimit_shadow,
        quota=settings.ratelimit_quota,
        header_names=HeaderNames(limit=names[0], remaining=names[1], reset=names[2])
        if names
        else None,
        metadata=settings.ratelimit_metadata,
    )


def _credentials(configuration: Configuration, store_keys: StoreKeys | None) -> Credentials:
    """Those of the configuration, and beside them those of the key store where there is one."""
    credentials = configuration.credentials
    return credentials if store_keys is None else credentials.beside(store_keys)


def _store_keys(settings: Settings, configuration: Configuration, clock: Clock) -> StoreKeys | None:
    if not settings.has_key_store:
        return None
    return StoreKeys(
        configuration.credentials.keys,
        clock=clock,
        max_stale_ms=int(settings.keys_max_stale_seconds * 1000),
    )


def _upkeep(
    settings: Settings, keys: StoreKeys | None, tls: Tls | None, clock: Clock, metrics: Metrics
) -> tuple[Callable[[], Coroutine[None, None, None]], ...]:
    following = () if tls is None else (tls.run,)
    if keys is None:
        return following
    use_log = use_log_from_url(settings.keys_url.get_secret_value())
    last_used = LastUsed(use_log, keys=keys, metrics=metrics)
    return (*following, _key_feed(settings, keys, clock, metrics).run, last_used.run)


def _key_feed(settings: Settings, keys: StoreKeys, clock: Clock, metrics: Metrics) -> KeyFeed:
    return KeyFeed(
        key_changes_from_url(settings.keys_url.get_secret_value()),
        keys=keys,
        clock=clock,
        random=random.random,  # noqa: TID251 - jitter of reconnects; passed in from here
        metrics=metrics,
    )


def _tls(settings: Settings, clock: Clock, series: TlsSeries) -> Tls | None:
    files = tls_files(settings)
    return None if files is None else Tls(files, clock=clock, series=series)


def _interceptors(
    settings: Settings, clock: Clock, series: TlsSeries
) -> tuple[grpc.aio.ServerInterceptor, ...]:
    names = settings.tls_client_names
    if names is None:
        return ()
    return (ClientNames(names, clock=clock, refused=series.client_refused),)


def _decision_ids() -> Callable[[], str]:
    """Ids that are unique over all workers: a random start, then a count. Not a secret.

    A random id for every check would be a system call for every check.
    """
    prefix, numbers = secrets.token_hex(6), itertools.count()
    return lambda: f"{prefix}-{next(numbers):x}"
