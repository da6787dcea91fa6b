"""URLs of sentinels and clusters, and passwords in files."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.errors import ConfigurationError, StoreError
from authz_service.storage.from_url import (
    key_store_from_url,
    key_store_url_problems,
    store_from_url,
    store_url_problems,
)
from authz_service.storage.redis.endpoint import (
    ClusterSeeds,
    Endpoint,
    SentinelService,
    Target,
)
from authz_service.storage.redis.store import RedisStore
from authz_service.storage.redis.url import parse_endpoint, parse_url
from authz_service.testing.clock import ManualClock

CANARY = "canary-7f3a"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """A file with a password, as an editor leaves it."""
    file = tmp_path / "password"
    file.write_text(f"{CANARY}\n")
    return file


def problems(url: str) -> tuple[str, ...]:
    """What is wrong with a URL; something is."""
    found = store_url_problems(url)
    assert found
    return found


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (
            "redis+sentinel://s1,s2:7001/counters",
            SentinelService(
                sentinels=(Endpoint(host="s1", port=26379), Endpoint(host="s2", port=7001)),
                service="counters",
                primary=Endpoint(),
            ),
        ),
        (
            "redis+sentinel://u%3A:p%40@[2001:db8::1]:7000,s2/my.name-1/3",
            SentinelService(
                sentinels=(
                    Endpoint(host="2001:db8::1", port=7000),
                    Endpoint(host="s2", port=26379),
                ),
                service="my.name-1",
                primary=Endpoint(username="u:", password="p@", database=3),
            ),
        ),
        (
            "redis+sentinel://s1/counters?db=4",
            SentinelService(
                sentinels=(Endpoint(host="s1", port=26379),),
                service="counters",
                primary=Endpoint(database=4),
            ),
        ),
        (
            "redis+cluster://:p@n1,n2:7000,[::1]:7001",
            ClusterSeeds(
                seeds=(
                    Endpoint(host="n1", password="p"),
                    Endpoint(host="n2", port=7000, password="p"),
                    Endpoint(host="::1", port=7001, password="p"),
                )
            ),
        ),
        ("redis+cluster://n1/", ClusterSeeds(seeds=(Endpoint(host="n1"),))),
    ],
)
def test_every_part_of_a_url_is_read(url: str, target: Target) -> None:
    """Places with their usual ports, the service, the database, user and password."""
    assert parse_url(url) == target


def test_all_forms_make_a_store() -> None:
    """Building connects to nothing: there is no server here."""
    for url in (
        "redis+sentinel://s1,s2/counters",
        "rediss+sentinel://s1/counters/1",
        "redis+cluster://n1,n2",
        "rediss+cluster://n1",
    ):
        store = store_from_url(url, clock=ManualClock(), random=lambda: 0.5)
        assert isinstance(store, RedisStore)
        assert store.part_of("key:a") == ""


def test_sentinels_have_a_log_in_of_their_own(password_file: Path) -> None:
    """The servers' password is not sent to sentinels, nor theirs to servers; TLS is for both."""
    own = f"sentinel_username=watcher&sentinel_password_file={password_file}"
    target = parse_url(f"rediss+sentinel://u:p@s1/counters?{own}")
    assert isinstance(target, SentinelService)
    assert target.sentinels[0].credentials() == ("watcher", CANARY)
    assert target.primary.credentials() == ("u", "p")
    assert target.sentinels[0].tls is target.primary.tls is not None
    plain = parse_url("redis+sentinel://u:p@s1/counters")
    assert isinstance(plain, SentinelService)
    assert plain.sentinels[0].credentials() == ()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+sentinel://", "names no host, as in redis+sentinel://user:password@host:port,host"),
        ("redis+sentinel://s1,,s2/counters", "names no host"),
        ("redis+sentinel://s1", "names no service of the sentinels"),
        ("redis+sentinel://s1//0", "names no service of the sentinels"),
        ("redis+sentinel://s1/a%20b", "names no service of the sentinels"),
        ("redis+sentinel://s1/counters/x", "the database is a number"),
        ("redis+sentinel://s1/counters?sentinel_username=w", "needs sentinel_password_file"),
        ("redis+sentinel://s1:x/counters", "not of the form redis+sentinel://"),
        ("redis+sentinel://u@s1/counters", "a user but no password"),
        ("redis+sentinel://s1/counters#x", "not of the form redis+sentinel://"),
        ("redis+cluster://", "names no host, as in redis+cluster://"),
        ("redis+cluster://n1/1", "a cluster has no databases"),
        ("redis+cluster://n1?db=1", "redis+cluster:// knows no such option"),
        ("redis+cluster://n1:99999", "not of the form redis+cluster://"),
        ("redis+cluster://n1?ssl_ca_certs=/x", "redis+cluster:// knows no such option"),
        ("rediss+cluster://n1?ssl_ca_certs=/nowhere", "a TLS file cannot be used"),
        ("rediss+cluster://n1?ssl_check_hostname=false", "needs ssl_ca_certs"),
        ("rediss+sentinel://s1/c?ssl_check_hostname=false", "needs ssl_ca_certs"),
        ("redis+other://h", "must begin with"),
        ("redis+cluster:n1", "must begin with"),
        ("redis://h1,h2", "names more than one host; see redis+sentinel:// and redis+cluster://"),
        ("redis://h?password_file=/nowhere/file", "the password_file is no file that is there"),
        ("redis://h?password_file=", "the password_file is no file that is there"),
        ("redis://h?password_file=/dev/zero", "the password_file is no file that is there"),
        (
            "redis+sentinel://s1/c?sentinel_password_file=/nowhere",
            "the sentinel_password_file is no file that is there",
        ),
        ("redis://h?sentinel_password_file=/nowhere", "redis:// knows no such option"),
    ],
)
def test_a_problem_says_what_to_write(url: str, problem: str) -> None:
    """One sentence names what is wrong and what is right."""
    assert any(problem in found for found in problems(url)), problems(url)


def test_a_password_stands_in_one_place(password_file: Path) -> None:
    """A password in the URL and one in a file is one too many."""
    found = problems(f"redis://:{CANARY}@h?password_file={password_file}")
    assert found == ("store URL: has a password and a password_file; one of the two is enough",)


def test_all_problems_are_told_at_once() -> None:
    """Five mistakes, five sentences, and the files that are not there are among them."""
    url = "redis+sentinel://u:p@s1,/a%20b/x?password_file=/nowhere&colour=red"
    assert len(problems(url)) == 6


@pytest.mark.parametrize("form", ["redis://h", "unix:///run/s", "redis+cluster://h"])
def test_a_password_file_is_read_at_every_log_in(form: str, password_file: Path) -> None:
    """What stands there at that moment counts, without the end of the line."""
    target = parse_url(f"{form}?password_file={password_file}")
    endpoint = target.seeds[0] if isinstance(target, ClusterSeeds) else target
    assert isinstance(endpoint, Endpoint)
    assert endpoint.credentials() == (CANARY,)
    password_file.write_text("next ä\r\n")
    assert endpoint.credentials() == ("next ä",)


def test_a_password_file_goes_with_a_user(password_file: Path) -> None:
    """The user stands in the URL, the password in the file."""
    endpoint = parse_endpoint(f"redis://u@h?password_file={password_file}")
    assert endpoint.credentials() == ("u", CANARY)


def test_a_password_file_that_is_of_no_use_is_a_store_error(password_file: Path) -> None:
    """Empty, no text, or gone since the start: told at the log-in, without the name or a part."""
    endpoint = parse_endpoint(f"redis://h?password_file={password_file}")
    for content, told in ((b"\n", "is empty"), (b"\xff" + CANARY.encode(), "is not UTF-8")):
        password_file.write_bytes(content)
        with pytest.raises(StoreError, match=told) as caught:
            endpoint.credentials()
        assert CANARY not in repr(caught.value)
    password_file.unlink()
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        endpoint.credentials()


@pytest.mark.parametrize(
    "url",
    [
        f"redis+sentinel://u:{CANARY}@s1:7000,[::1]/counters/2",
        f"rediss+sentinel://:{CANARY}@s1/counters",
        f"redis+cluster://:{CANARY}@n1,[::1]:7000",
        f"rediss+cluster://u:{CANARY}@n1",
    ],
)
def test_a_target_does_not_show_its_password(url: str) -> None:
    """Neither as text nor in a debugger; what is left as text is the URL without it."""
    target = parse_url(url)
    assert CANARY not in f"{target} {target!r}"
    assert str(target).partition("://")[0] == url.partition("://")[0]
    assert "s1:7000,[::1]:26379/counters/2" in str(target) or "/2" not in url


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:{}/x@s1/counters",
        "redis+sentinel://u:{}?x@s1/counters",
        "redis+sentinel://s1/{}!/counters",
        "redis+cluster://:{}#x@n1",
        "redis+cluster://n1?password={}",
        "redis+cluster://u:p@n1:{}",
        "redis+sentinel://s1/counters?sentinel_password={}",
        "redis+sentinel://s1/counters?sentinel_password_file={}",
        "redis://h?password_file={}",
        "{}://h",
    ],
)
def test_no_problem_quotes_the_url(url: str) -> None:
    """A password may stand anywhere in a URL that is wrong, and is in no sentence about it."""
    assert not any(CANARY in problem for problem in problems(url.format(CANARY)))


def test_a_key_store_is_one_server(password_file: Path) -> None:
    """With its password in a file if one likes; sentinels and clusters are refused in words."""
    key_store_from_url(f"redis://u@h?password_file={password_file}")
    for url in ("redis+sentinel://s1/counters", "rediss+cluster://n1"):
        (problem,) = key_store_url_problems(url)
        assert problem == (
            "store URL: must name one server, by redis://, rediss:// (TLS) or unix://: "
            "no sentinels, no cluster"
        )
        with pytest.raises(ConfigurationError):
            key_store_from_url(url)


@given(
    st.sampled_from(["redis+sentinel://", "rediss+sentinel://", "redis+cluster://"]),
    st.text(alphabet=st.one_of(st.sampled_from(":/@,[]?#%&=.a1"), st.characters()), max_size=30),
)
def test_any_text_is_a_target_or_a_configuration_error(scheme: str, rest: str) -> None:
    """Nothing else is raised."""
    with suppress(ConfigurationError):
        parse_url(scheme + rest)
