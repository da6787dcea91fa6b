"""Keys over real TLS: a provider may be slow, hostile or gone, and the last good set stays."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog
import trustme
from aiohttp import web
from structlog.testing import capture_logs

from authz_service.core.identity import Identity
from authz_service.core.provider import JwksUrl, Provider
from authz_service.core.verdict import Reason
from authz_service.identity.jwks_fetch import MAX_BYTES, FetchError, RefusedAnswerError, fetch
from authz_service.identity.jwks_source import JwksSource, JwksSources
from authz_service.identity.tokens import TokenVerifier, Trusted
from authz_service.observe.metrics import FetchOutcome
from authz_service.testing.clock import ManualClock
from authz_service.testing.tokens import NOW_S, key_set, provider, signer
from tests.integration.identity.conftest import Publisher

ONE, TWO = signer("ES256", "one"), signer("ES256", "two")
REFRESH_MS, MAX_AGE_MS, COOLDOWN_MS = 300_000, 86_400_000, 30_000
CANARIES = ("canary", "?key", ONE.token().decode()[-20:])


@dataclass
class Told:
    """What became of fetches."""

    outcomes: list[FetchOutcome] = field(default_factory=list)
    followed: dict[str, Callable[[], int]] = field(default_factory=dict)

    def jwks_followed(
        self, provider: str, *, usable: Callable[[], int], last_success_ms: Callable[[], int]
    ) -> None:
        """Kept."""
        assert last_success_ms() >= 0
        self.followed[provider] = usable

    def jwks_fetched(self, provider: str, outcome: FetchOutcome) -> None:
        """Kept."""
        assert provider
        self.outcomes.append(outcome)

    def jwks_forgotten(self, provider: str) -> None:
        """No longer kept."""
        del self.followed[provider]


@dataclass
class Subject:
    """A source under test, its clock, and a verifier that uses it."""

    source: JwksSource
    clock: ManualClock
    told: Told
    provider: Provider

    def verdict(self, token: bytes) -> Identity | Reason:
        """What becomes of a token."""
        verifier = TokenVerifier([Trusted(self.provider, self.source)])
        return verifier.verify(token, NOW_S * 1000)  # tokens live shorter than sets

    async def after(self, elapsed_ms: int) -> FetchOutcome | None:
        """What the fetch that is due so much later brings, if one is due."""
        self.clock.advance(elapsed_ms)
        before = len(self.told.outcomes)
        await self.source.fetch_if_due()
        return self.told.outcomes[-1] if len(self.told.outcomes) > before else None


@pytest.fixture
def subject(publisher: Publisher) -> Subject:
    """A source of the publisher's keys. Nothing was fetched yet."""
    clock, told = ManualClock(), Told()
    one = provider("ES256")
    source = JwksSource(
        one, publisher.where(), publisher.ca_pem, clock=clock, random=lambda: 0.0, events=told
    )
    return Subject(source, clock, told, one)


async def test_published_keys_are_used(publisher: Publisher, subject: Subject) -> None:
    """Before the first fetch tokens cannot be judged, after it they are."""
    publisher.publish(ONE)
    assert subject.verdict(ONE.token()) is Reason.SIGNING_KEYS_UNAVAILABLE
    assert await subject.after(0) is FetchOutcome.SUCCESS
    assert isinstance(subject.verdict(ONE.token()), Identity)
    assert subject.source.last_success() == subject.clock.now_ms()
    (request,) = publisher.requests
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in request.headers


async def test_keys_are_fetched_anew_when_it_is_time(
    publisher: Publisher, subject: Subject
) -> None:
    """Not before; and a key that is gone is gone then."""
    publisher.publish(ONE)
    await subject.after(0)
    publisher.publish(TWO)
    assert await subject.after(REFRESH_MS - 1) is None
    assert isinstance(subject.verdict(ONE.token()), Identity)
    assert await subject.after(1) is FetchOutcome.SUCCESS
    assert subject.verdict(ONE.token()) is Reason.UNKNOWN_SIGNING_KEY
    assert isinstance(subject.verdict(TWO.token()), Identity)


async def test_a_new_key_is_found_within_the_cooldown(
    publisher: Publisher, subject: Subject
) -> None:
    """The first token that names it is refused, and has it looked for."""
    publisher.publish(ONE)
    await subject.after(0)
    publisher.publish(ONE, TWO)
    assert subject.verdict(TWO.token()) is Reason.UNKNOWN_SIGNING_KEY
    assert await subject.after(COOLDOWN_MS - 1) is None
    assert await subject.after(1) is FetchOutcome.SUCCESS
    assert isinstance(subject.verdict(TWO.token()), Identity)


async def test_a_flood_of_unknown_keys_fetches_no_more_than_the_cooldown_allows(
    publisher: Publisher, subject: Subject
) -> None:
    """Ten minutes of them: one fetch in thirty seconds."""
    publisher.publish(ONE)
    await subject.after(0)
    for number in range(600):
        for again in range(3):
            token = TWO.token(kid=f"{number}-{again}")
            assert subject.verdict(token) is Reason.UNKNOWN_SIGNING_KEY
        await subject.after(1_000)
    assert len(publisher.requests) == 1 + 600_000 // COOLDOWN_MS


async def redirecting(_: web.BaseRequest) -> web.StreamResponse:
    """To a place that would give good keys."""
    raise web.HTTPFound("/other.json")


async def huge(request: web.BaseRequest) -> web.StreamResponse:
    """A body without end."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1_000):
        await response.write(b" " * 65_536)
    raise AssertionError("nobody reads as much")


async def cut_off(request: web.BaseRequest) -> web.StreamResponse:
    """A connection that ends in the middle."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(key_set(TWO.jwk())[:50])
    assert request.transport is not None
    request.transport.abort()
    return response


GOOD = key_set(TWO.jwk())
WRONG: dict[str, tuple[object, FetchOutcome]] = {
    "redirect": (redirecting, FetchOutcome.REFUSED),
    "not found": (b"404", FetchOutcome.REFUSED),
    "HTML": (b"<!doctype html><title>canary</title>", FetchOutcome.UNUSABLE),
    "empty": (b"", FetchOutcome.UNUSABLE),
    "no keys": (key_set(), FetchOutcome.UNUSABLE),
    "keys of others alone": (key_set(signer("RS256").jwk()), FetchOutcome.UNUSABLE),
    "secrets alone": (key_set({"kty": "oct", "k": "canary"}), FetchOutcome.UNUSABLE),
    "cut off": (cut_off, FetchOutcome.ERROR),
    "huge": (huge, FetchOutcome.REFUSED),
    "one byte too long": (GOOD + b" " * (MAX_BYTES + 1 - len(GOOD)), FetchOutcome.REFUSED),
    "bomb": (gzip.compress(GOOD + b" " * (64 << 20)), FetchOutcome.REFUSED),
    "deeply nested": (b"[" * 500_000, FetchOutcome.UNUSABLE),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_answer_leaves_the_last_good_set(
    publisher: Publisher, subject: Subject, name: str
) -> None:
    """Whatever it is, tokens go on; it is told once, without a word of it; then all is well."""
    answer, outcome = WRONG[name]
    publisher.publish(ONE)
    await subject.after(0)
    with capture_logs() as lines:
        if callable(answer):
            publisher.answer = answer
        elif name == "not found":
            publisher.say(GOOD, status=404)
        elif name == "bomb":
            assert isinstance(answer, bytes)
            publisher.say(answer, Content_Encoding="gzip")
        else:
            assert isinstance(answer, bytes)
            publisher.say(answer)
        assert await subject.after(REFRESH_MS) is outcome
        assert isinstance(subject.verdict(ONE.token()), Identity)
        assert await subject.after(1_000) is outcome
        assert await subject.after(2_000) is outcome
        assert isinstance(subject.verdict(ONE.token()), Identity)
    told = [(line["event"], line["log_level"]) for line in lines]
    assert told == [("signing keys not renewed, the last good ones stay", "warning")]
    assert not any(canary in repr(lines) for canary in CANARIES)

    publisher.publish(TWO)
    assert await subject.after(4_000) is FetchOutcome.SUCCESS
    assert isinstance(subject.verdict(TWO.token()), Identity)


async def test_a_body_of_the_largest_size_is_read(publisher: Publisher, subject: Subject) -> None:
    """The bound itself is allowed; what the type says does not matter."""
    publisher.say(GOOD + b" " * (MAX_BYTES - len(GOOD)), Content_Type="text/html")
    assert await subject.after(0) is FetchOutcome.SUCCESS


async def test_a_dead_provider_is_asked_less_and_less(
    publisher: Publisher, subject: Subject
) -> None:
    """Pauses double up to the interval; tokens that name unknown keys do not change it much."""
    publisher.publish(ONE)
    await subject.after(0)
    dead = JwksUrl(url="https://127.0.0.1:1/jwks.json", cooldown_ms=COOLDOWN_MS)
    source = JwksSource(
        subject.provider,
        dead,
        publisher.ca_pem,
        clock=subject.clock,
        random=lambda: 0.0,
        events=subject.told,
    )
    mine = Subject(source, subject.clock, Told(), subject.provider)
    source._events = mine.told
    for _ in range(600):
        assert mine.verdict(TWO.token()) is Reason.SIGNING_KEYS_UNAVAILABLE
        await mine.after(1_000)
    assert mine.told.outcomes == [FetchOutcome.ERROR] * 10  # 0, 1, 3, 7, ... 511 s


async def test_a_set_is_used_until_it_is_too_old(publisher: Publisher, subject: Subject) -> None:
    """After a day without an answer it may hold stolen keys: 503, until there is an answer."""
    publisher.publish(ONE)
    await subject.after(0)
    publisher.say(b"", status=500)
    with capture_logs() as lines:
        await subject.after(MAX_AGE_MS - 1)
        assert isinstance(subject.verdict(ONE.token()), Identity)
        assert subject.source.usable() == 1
        await subject.after(1)
        assert subject.verdict(ONE.token()) is Reason.SIGNING_KEYS_UNAVAILABLE
        assert subject.source.usable() == 0
        await subject.after(REFRESH_MS)
        publisher.publish(ONE)
        await subject.after(REFRESH_MS)
        assert isinstance(subject.verdict(ONE.token()), Identity)
    assert [line["log_level"] for line in lines] == ["warning", "error", "info"]


async def test_a_wall_clock_that_is_set_changes_no_age(
    publisher: Publisher, subject: Subject
) -> None:
    """The age of a set is counted by a clock that nobody sets."""
    publisher.publish(ONE)
    await subject.after(0)
    subject.clock.step_back(10 * MAX_AGE_MS)
    assert subject.source.usable() == 1
    assert await subject.after(REFRESH_MS) is FetchOutcome.SUCCESS


async def test_a_server_of_another_authority_is_not_believed(publisher: Publisher) -> None:
    """Neither with our authority nor with the system's."""
    publisher.publish(ONE)
    other = trustme.CA().cert_pem.bytes().decode()
    for context in (ssl.create_default_context(cadata=other), ssl.create_default_context()):
        with pytest.raises(FetchError, match="ClientConnectorCertificateError"):
            await fetch(publisher.url, context)
    assert publisher.requests == []


async def test_a_server_of_another_name_is_not_believed(publisher: Publisher) -> None:
    """Its certificate is for 127.0.0.1 and not for localhost."""
    publisher.publish(ONE)
    context = ssl.create_default_context(cadata=publisher.ca_pem)
    with pytest.raises(FetchError, match="ClientConnectorCertificateError"):
        await fetch(publisher.url.replace("127.0.0.1", "localhost"), context)
    assert publisher.requests == []


@asynccontextmanager
async def dripping(*, speaks_tls: bool, authority: trustme.CA) -> AsyncIterator[str]:
    """A server that sends a byte at a time and never ends, or does not even begin."""
    is_over = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if speaks_tls:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while speaks_tls and not is_over.is_set():
            writer.write(b" ")
            await asyncio.sleep(0.02)
        await is_over.wait()
        writer.transport.abort()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(drip, "127.0.0.1", 0, ssl=context if speaks_tls else None)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
    finally:
        is_over.set()
        server.close()
        await asyncio.sleep(0.1)  # the last byte, and the end of the connection


@pytest.mark.parametrize("speaks_tls", [True, False])
async def test_a_slow_provider_is_given_up(authority: trustme.CA, *, speaks_tls: bool) -> None:
    """The whole of a fetch has one bound, from the name to the last byte."""
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    started = asyncio.get_running_loop().time()
    async with dripping(speaks_tls=speaks_tls, authority=authority) as url:
        with pytest.raises(FetchError, match="Timeout"):
            await fetch(url, context, total_s=0.3)
    assert asyncio.get_running_loop().time() - started < 2.0


async def test_proxies_of_the_environment_are_not_used(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are passwords of a .netrc sent along."""
    publisher.publish(ONE)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    context = ssl.create_default_context(cadata=publisher.ca_pem)
    assert await fetch(publisher.url, context) == key_set(ONE.jwk())


async def test_a_redirect_is_not_followed(publisher: Publisher) -> None:
    """Not even to the same server."""
    publisher.answer = redirecting
    context = ssl.create_default_context(cadata=publisher.ca_pem)
    with pytest.raises(RefusedAnswerError, match="status 302"):
        await fetch(publisher.url, context)
    assert len(publisher.requests) == 1


def sources(told: Told, clock: ManualClock) -> JwksSources:
    """All sources of a process."""
    return JwksSources(clock=clock, random=lambda: 0.0, events=told)


@asynccontextmanager
async def running(all_sources: JwksSources) -> AsyncIterator[None]:
    """The sources at work."""
    task = asyncio.create_task(all_sources.run())
    try:
        yield
        assert not task.done(), "the sources have ended"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def soon(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - a server's requests tell nobody
            await asyncio.sleep(0.01)


async def test_sources_that_stay_the_same_outlive_a_reload(publisher: Publisher) -> None:
    """Not fetched anew and without a gap; a changed one begins anew, one that is gone stops."""
    publisher.publish(ONE)
    told = Told()
    mine = sources(told, ManualClock())
    one, other = provider("ES256"), provider("ES256", name="other")
    where = publisher.where()
    first = [mine.find(it, where, publisher.ca_pem) for it in (one, other)]
    async with running(mine):
        await mine.follow(first)
        assert len(publisher.requests) == 2
        assert {name: usable() for name, usable in told.followed.items()} == {
            "login": 1,
            "other": 1,
        }

        lenient = provider("ES256", audiences=("more",), leeway_ms=0)
        again = [mine.find(it, where, publisher.ca_pem) for it in (lenient, other)]
        assert again == first
        await mine.follow(again)
        assert len(publisher.requests) == 2

        changed = mine.find(one, publisher.where(refresh_ms=REFRESH_MS + 1), publisher.ca_pem)
        assert changed not in first
        await mine.follow([changed])
        assert len(publisher.requests) == 3
        assert list(told.followed) == ["login"]

        await mine.follow([])
        assert told.followed == {}
        await soon(lambda: not any("JwksSource.run" in repr(it) for it in asyncio.all_tasks()))


async def test_a_source_at_work_fetches_by_itself(publisher: Publisher) -> None:
    """When keys are missing, and when the interval ends, one fetch at a time."""
    publisher.publish(ONE)
    told, clock = Told(), ManualClock()
    mine = sources(told, clock)
    source = mine.find(provider("ES256"), publisher.where(cooldown_ms=1_000), publisher.ca_pem)
    assert isinstance(source, JwksSource)
    async with running(mine):
        await mine.follow([source])
        await asyncio.sleep(0.05)
        assert len(publisher.requests) == 1
        clock.advance(1_000)
        for _ in range(100):
            source.look_again()
        await soon(lambda: len(publisher.requests) == 2)
        await asyncio.sleep(0.05)
        assert len(publisher.requests) == 2


async def test_a_dead_provider_holds_up_a_start_for_a_moment_only(
    authority: trustme.CA,
) -> None:
    """Two seconds, and the rest goes on without its keys."""
    told = Told()
    mine = sources(told, ManualClock())
    started = asyncio.get_running_loop().time()
    async with dripping(speaks_tls=False, authority=authority) as url:
        source = mine.find(provider("ES256"), JwksUrl(url=url), "")
        await mine.follow([source])
        assert 1.5 < asyncio.get_running_loop().time() - started < 4.0
    assert told.followed["login"]() == 0
    assert told.outcomes == []


async def test_what_a_source_says_of_itself_shows_no_secret(
    publisher: Publisher, subject: Subject
) -> None:
    """Good news and bad: no query of the URL, no token, no key."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    with capture_logs() as lines:
        publisher.publish(ONE)
        await subject.after(0)
        publisher.say(b"canary", status=500, X_Canary="canary")
        await subject.after(REFRESH_MS)
        publisher.say(b"<html>canary")
        await subject.after(1_000)
    assert [line["provider"] for line in lines] == ["login"] * 3
    assert lines[0]["url"] == publisher.url.partition("?")[0]
    assert not any(canary in repr(lines) for canary in CANARIES)
