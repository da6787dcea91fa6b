"""Keys behind URLs: fetched in the background, kept while they may be relied on.

No check ever waits for a fetch, and none causes more of them than the cooldown allows.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

import structlog

from authz_service.clock import Clock
from authz_service.core.provider import JwksUrl, Provider
from authz_service.identity.jwks import UnusableJwksError, read_jwks
from authz_service.identity.jwks_fetch import FetchError, RefusedAnswerError, fetch
from authz_service.identity.refresh_plan import RefreshPlan
from authz_service.identity.signing_keys import KeySet
from authz_service.identity.tokens import Keys
from authz_service.observe.metrics import FetchOutcome

# How long new sources are waited for before tokens are judged by them.
_FIRST_LOOK_SECONDS: Final = 2.0

_log = structlog.get_logger(__name__)


class Events(Protocol):
    """Is told what becomes of key sets."""

    def jwks_followed(
        self, provider: str, *, usable: Callable[[], int], last_success_ms: Callable[[], int]
    ) -> None:
        """From now on a provider's keys are kept: how many may be relied on, and since when."""

    def jwks_fetched(self, provider: str, outcome: FetchOutcome) -> None:
        """A fetch ended."""

    def jwks_forgotten(self, provider: str) -> None:
        """A provider's keys are kept no more."""


class JwksSource:
    """The keys of one provider: the last good set, for as long as it may be relied on."""

    def __init__(
        self,
        provider: Provider,
        where: JwksUrl,
        authorities: str,
        *,
        clock: Clock,
        random: Callable[[], float],
        events: Events,
    ) -> None:
        self.provider = provider.name
        self.configuration = _configuration(provider, where, authorities)
        self._last_success_ms = 0
        self._algorithms = provider.algorithms
        self._where = where
        self._context = ssl.create_default_context(cadata=authorities or None)
        self._clock = clock
        self._events = events
        self._plan = RefreshPlan(
            refresh_ms=where.refresh_ms,
            cooldown_ms=where.cooldown_ms,
            now_ms=clock.monotonic_ms(),
            random=random,
        )
        self._woken = asyncio.Event()
        self._keys: KeySet | None = None
        self._good_until_ms = 0
        self._told: object = None

    def current(self) -> KeySet | None:
        """The last good set, unless it is older than it may become."""
        return self._keys if self._clock.monotonic_ms() < self._good_until_ms else None

    def look_again(self) -> None:
        """Fetch as soon as the cooldown allows."""
        before = self._plan.due_ms
        self._plan.look_again()
        if self._plan.due_ms != before:  # a flood wakes nobody twice
            self._woken.set()

    def usable(self) -> int:
        """How many keys there are to rely on."""
        return len(self.current() or ())

    def last_success(self) -> int:
        """When the last good set came, in epoch milliseconds; 0 before the first."""
        return self._last_success_ms

    async def run(self) -> None:
        """Keep the set up to date until cancelled. Nobody else fetches, so one fetch at a time."""
        while True:
            await self.fetch_if_due()
            await self._wait()

    async def fetch_if_due(self) -> None:
        """Fetch if it is time. Whatever comes of it is told, never raised."""
        if self._clock.monotonic_ms() < self._plan.due_ms:
            return
        outcome, reason = await self._fetch()
        if outcome is FetchOutcome.SUCCESS:
            self._plan.succeeded(self._clock.monotonic_ms())
        else:
            self._plan.failed(self._clock.monotonic_ms())
        self._events.jwks_fetched(self.provider, outcome)
        self._tell(outcome, reason)

    async def _wait(self) -> None:
        while (wait_ms := self._plan.due_ms - self._clock.monotonic_ms()) > 0:
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await self._woken.wait()

    async def _fetch(self) -> tuple[FetchOutcome, str]:
        try:
            body = await fetch(self._where.url, self._context)
            # In a thread: a hundred keys take longer to read than a check may wait.
            keys = await asyncio.to_thread(read_jwks, body, self._algorithms)
        except RefusedAnswerError as error:
            return FetchOutcome.REFUSED, str(error)
        except FetchError as error:
            return FetchOutcome.ERROR, str(error)
        except UnusableJwksError as error:
            return FetchOutcome.UNUSABLE, str(error)
        except Exception as error:  # noqa: BLE001 - of whatever a stranger's answer can bring about
            return FetchOutcome.ERROR, type(error).__name__
        self._keys = keys
        self._last_success_ms = self._clock.now_ms()
        self._good_until_ms = self._clock.monotonic_ms() + self._where.max_age_ms
        return FetchOutcome.SUCCESS, ""

    def _tell(self, outcome: FetchOutcome, reason: str) -> None:
        """One line for each change, not for each fetch."""
        keys = self.current()
        state = (outcome, reason, keys and (keys.keys, keys.skipped))
        if state == self._told:
            return
        self._told = state
        log = _log.bind(provider=self.provider, url=self._where.url.partition("?")[0])
        if outcome is FetchOutcome.SUCCESS and keys is not None:
            log.info("signing keys in force", keys=len(keys), skipped=keys.skipped)
        elif keys is not None:
            log.warning("signing keys not renewed, the last good ones stay", reason=reason)
        else:
            log.error("no signing keys, tokens are answered with 503", reason=reason)


def _configuration(provider: Provider, where: JwksUrl, authorities: str) -> object:
    """What has to stay the same for a set to stay good."""
    return (provider.name, provider.algorithms, where, authorities)


class JwksSources:
    """Every source in use. One whose configuration stays the same outlives reloads."""

    def __init__(self, *, clock: Clock, random: Callable[[], float], events: Events) -> None:
        self._clock = clock
        self._random = random
        self._events = events
        self._used: tuple[JwksSource, ...] = ()
        self._changed = asyncio.Event()

    def find(self, provider: Provider, where: JwksUrl, authorities: str) -> Keys:
        """The source in use for this configuration, or a new one, to be followed.

        May be called from any thread.
        """
        wanted = _configuration(provider, where, authorities)
        for source in self._used:
            if source.configuration == wanted:
                return source
        return JwksSource(
            provider,
            where,
            authorities,
            clock=self._clock,
            random=self._random,
            events=self._events,
        )

    async def follow(self, keys: Iterable[Keys]) -> None:
        """Keep these up to date from now on, and no others.

        New ones are fetched first if that takes no longer than a moment, so that a start or a
        change costs no caller anything. Those in use go on meanwhile.
        """
        wanted = tuple(it for it in keys if isinstance(it, JwksSource))
        new = [source for source in wanted if source not in self._used]
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK_SECONDS):
                await asyncio.gather(*(source.fetch_if_due() for source in new))
        for source in self._used:
            if source not in wanted:
                self._events.jwks_forgotten(source.provider)
        for source in new:
            self._events.jwks_followed(
                source.provider, usable=source.usable, last_success_ms=source.last_success
            )
        self._used = wanted
        self._changed.set()

    async def run(self) -> None:
        """Keep them up to date until cancelled."""
        tasks: dict[JwksSource, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for source in tasks.keys() - set(self._used):
                    tasks.pop(source).cancel()
                for source in self._used:
                    if source not in tasks:
                        tasks[source] = group.create_task(source.run())
                await self._changed.wait()
