"""Which store a URL means, and what its author is told when it means none."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.errors import ConfigurationError
from authz_service.storage.base import CounterStore
from authz_service.storage.from_url import (
    key_changes_from_url,
    key_store_from_url,
    key_store_url_problems,
    store_from_url,
    use_log_from_url,
)
from authz_service.storage.keys.changes import RedisKeyChanges
from authz_service.storage.keys.store import RedisKeyStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.redis.endpoint import Endpoint
from authz_service.storage.redis.store import RedisStore
from authz_service.storage.redis.url import parse_endpoint
from authz_service.testing.clock import ManualClock


def build(url: str) -> CounterStore:
    """Build a store."""
    return store_from_url(url, clock=ManualClock(), random=lambda: 0.5)


def problems(url: str) -> tuple[str, ...]:
    """Return what is wrong with a URL."""
    with pytest.raises(ConfigurationError) as caught:
        build(url)
    return caught.value.problems


def test_a_scheme_chooses_the_store() -> None:
    """Memory, TCP, TLS, socket. Building connects to nothing: there is no server here."""
    assert isinstance(build("memory://"), MemoryStore)
    for url in ("redis://redis.example", "rediss://redis.example/1", "unix:///run/redis.sock"):
        assert isinstance(build(url), RedisStore)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("redis://h", Endpoint(host="h")),
        ("redis://h:7000/2", Endpoint(host="h", port=7000, database=2)),
        ("redis://[2001:db8::1]:7000", Endpoint(host="2001:db8::1", port=7000)),
        ("redis://:p%40ss@h", Endpoint(host="h", password="p@ss")),
        ("redis://u%3A:p@h?db=4", Endpoint(host="h", username="u:", password="p", database=4)),
        ("unix:///run/a%20b.sock?db=3", Endpoint(path="/run/a b.sock", database=3)),
        ("unix://u:p@/run/s", Endpoint(path="/run/s", username="u", password="p")),
    ],
)
def test_every_part_of_a_url_is_read(url: str, endpoint: Endpoint) -> None:
    """Host, port, path, database, user and password, percent-decoded once."""
    assert parse_endpoint(url) == endpoint


def test_a_key_store_is_a_server() -> None:
    """Over TCP, TLS or a socket; building connects to nothing, and says where it would."""
    for url in ("redis://redis.example", "rediss://redis.example/1", "unix:///run/redis.sock"):
        assert isinstance(key_store_from_url(url), RedisKeyStore)
        assert isinstance(use_log_from_url(url), RedisKeyStore)
        assert isinstance(key_changes_from_url(url), RedisKeyChanges)
        assert key_store_url_problems(url) == ()


@pytest.mark.parametrize("url", ["", "memory://", "http://h", "canary", "redis:/h", "redis://"])
def test_anything_else_is_no_key_store(url: str) -> None:
    """Keys in the memory of one process could be changed by nobody."""
    assert "canary" not in "".join(key_store_url_problems(url))
    for build_part in (key_store_from_url, use_log_from_url, key_changes_from_url):
        with pytest.raises(ConfigurationError) as caught:
            build_part(url)
        assert caught.value.problems == key_store_url_problems(url) != ()


def test_tls_verifies_certificate_and_name() -> None:
    """There is no way to switch verification of the certificate off."""
    tls = parse_endpoint("rediss://h?ssl_check_hostname=true").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    assert problems("rediss://h?ssl_cert_reqs=none")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must begin with memory://, redis://, rediss:// (TLS), unix://, redis+sentinel://"),
        ("http://h", "must begin with"),
        ("redis:/h", "must begin with"),
        ("memory://x", "memory:// takes nothing after it"),
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://h:x", "not of the form redis://user:password@host:port/database"),
        ("redis://h:99999", "not of the form"),
        ("redis://:pass#word@h", "percent-encode special characters"),
        ("redis://h#x", "not of the form"),
        ("redis://[::1", "not of the form"),
        ("redis://user@h", "a user but no password"),
        ("redis://h/x", "the database is a number"),
        ("redis://h/-1", "the database is a number"),
        ("redis://h?db=", "the database is a number"),
        ("redis://h?socket_timeout=1", "redis:// knows no such option; known are db"),
        ("redis://h?ssl_ca_certs=/x", "redis:// knows no such option"),
        ("unix://run/s", "a socket is an absolute path"),
        ("unix://", "a socket is an absolute path"),
        ("rediss://h?ssl_keyfile=/x", "ssl_keyfile needs ssl_certfile"),
        ("rediss://h?ssl_check_hostname=no", "ssl_check_hostname is true or false"),
        ("rediss://h?ssl_check_hostname=false", "needs ssl_ca_certs, an authority of its own"),
        ("rediss://h?ssl_ca_certs=&ssl_check_hostname=false", "needs ssl_ca_certs"),
        ("redis://h?ssl_check_hostname=false", "redis:// knows no such option"),
        ("rediss://h?ssl_ca_certs=/nowhere", "a TLS file cannot be used: No such file"),
        ("rediss://h?ssl_ca_certs=/dev/null", "a TLS file cannot be used"),
    ],
)
def test_a_problem_says_what_to_write(url: str, problem: str) -> None:
    """One sentence names what is wrong and what is right."""
    assert any(problem in found for found in problems(url)), problems(url)


def test_a_broken_certificate_file_is_named_as_such(tmp_path: Path) -> None:
    """A file that is no certificate stops the start, not the first connection."""
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    assert "a TLS file cannot be used" in problems(f"rediss://h?ssl_ca_certs={file}")[0]


def test_all_problems_are_told_at_once() -> None:
    """Two mistakes, two sentences."""
    assert len(problems("redis:///x")) == 2


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sec/ret@h",
        "redis://:sec#ret@h",
        "redis://u:sec?ret@h",
        "redis://h?password=secret",
    ],
)
def test_no_problem_quotes_a_password(url: str) -> None:
    """A password that was not percent-encoded lands in odd places, but not in the message."""
    assert not any("sec" in problem or "ret" in problem for problem in problems(url))


def test_an_endpoint_does_not_show_its_password() -> None:
    """Neither as text nor in a debugger."""
    endpoint = parse_endpoint("redis://user:hunter2@h:1/2")
    assert "hunter2" not in f"{endpoint} {endpoint!r}"
    assert str(endpoint) == "redis://h:1/2"
    assert str(parse_endpoint("rediss://[::1]")) == "rediss://[::1]:6379/0"
    assert str(parse_endpoint("unix://:p@/run/s")) == "unix:///run/s"


@given(st.sampled_from(["", "redis://", "rediss://", "unix://", "memory://"]), st.text(max_size=30))
def test_any_text_is_a_store_or_a_configuration_error(scheme: str, rest: str) -> None:
    """Nothing else is raised."""
    with suppress(ConfigurationError):
        build(scheme + rest)
