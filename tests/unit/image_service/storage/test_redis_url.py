from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import AuthenticationError

from image_service.storage.redis.client import open_client
from image_service.storage.redis.url import Endpoint, parse_url

_CANARY = "canary-of-a-password"


@pytest.mark.parametrize(
    ("url", "endpoint", "text"),
    [
        ("redis://h", Endpoint(host="h"), "redis://h:6379/0"),
        ("redis://h:7/3", Endpoint(host="h", port=7, database=3), "redis://h:7/3"),
        ("redis://h?db=4", Endpoint(host="h", database=4), "redis://h:6379/4"),
        ("redis://[::1]:7", Endpoint(host="::1", port=7), "redis://[::1]:7/0"),
        ("redis://:p%40@h", Endpoint(host="h", password="p@"), "redis://h:6379/0"),
        ("redis://u:p@h", Endpoint(host="h", username="u", password="p"), "redis://h:6379/0"),
        ("unix:///run/s%20s", Endpoint(path="/run/s s"), "unix:///run/s s"),
        (
            "unix://:p@/run/s?db=2",
            Endpoint(path="/run/s", password="p", database=2),
            "unix:///run/s",
        ),
    ],
)
def test_a_url_names_one_server(url: str, endpoint: Endpoint, text: str) -> None:
    """By host or by path, with a log-in and a database where it has them."""
    assert parse_url(url) == endpoint
    assert str(parse_url(url)) == text


def test_tls_is_verified() -> None:
    """There is no way to leave the certificate out."""
    tls = parse_url("rediss://h?ssl_check_hostname=true").tls
    assert tls is not None
    assert tls.check_hostname
    assert tls.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "of the form"),
        (_CANARY, "of the form"),
        (f"http://:{_CANARY}@h", "of the form"),
        (f"redis:/:{_CANARY}@h", "of the form"),
        (f"redis://:{_CANARY}@", "of the form"),
        (f"redis://:{_CANARY}@h:99999", "of the form"),
        (f"redis://:{_CANARY}@h:port", "of the form"),
        (f"redis://:{_CANARY}@[::1", "of the form"),
        (f"redis://:{_CANARY}/@h", "of the form"),
        (f"redis://:{_CANARY}@h/zero", "is a number"),
        (f"redis://:{_CANARY}@h?db=-1", "is a number"),
        (f"redis://:{_CANARY}@h/123456", "is a number"),
        (f"redis://:{_CANARY}@h?db=\u00b2", "is a number"),
        (f"redis://:{_CANARY}@h?password={_CANARY}", "not known"),
        (f"redis://:{_CANARY}@h?ssl_ca_certs=/ca.pem", "not known"),
        (f"redis://:{_CANARY}@h#{_CANARY}", "not known"),
        (f"redis://:{_CANARY}@h,i", "one server"),
        (f"redis+sentinel://:{_CANARY}@h/main", "one server"),
        (f"redis+cluster://:{_CANARY}@h", "one server"),
        (f"unix://:{_CANARY}@run/s", "absolute path"),
        ("unix://", "absolute path"),
        (f"redis://{_CANARY}@h", "no password"),
        (f"redis://:{_CANARY}@h?password_file=/none", "one of the two"),
        (f"redis://h?password_file=/{_CANARY}", "no file"),
        (f"rediss://:{_CANARY}@h?ssl_keyfile=/k", "needs ssl_certfile"),
        (f"rediss://:{_CANARY}@h?ssl_check_hostname=no", "true or false"),
        (f"rediss://:{_CANARY}@h?ssl_check_hostname=false", "needs ssl_ca_certs"),
        (f"rediss://:{_CANARY}@h?ssl_ca_certs=&ssl_check_hostname=false", "needs ssl_ca_certs"),
        (f"redis://:{_CANARY}@h?ssl_check_hostname=false", "not known"),
        (f"rediss://:{_CANARY}@h?ssl_ca_certs=/none/ca.pem", "TLS file"),
    ],
)
def test_a_wrong_url_is_refused_without_being_quoted(url: str, says: str) -> None:
    """The text helps an operator and holds nothing of the password."""
    with pytest.raises(ValueError, match=says) as caught:
        open_client(url)
    assert _CANARY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


async def test_no_text_of_a_client_shows_the_password() -> None:
    """Neither its own nor that of its parts, whoever puts them in a log."""
    url = f"redis://user:{_CANARY}@h:1/2"
    client = open_client(url)
    pool: Any = client.connection_pool
    shown = [repr(parse_url(url)), str(parse_url(url)), repr(client), repr(pool)]
    shown += [repr(pool.make_connection()), repr(pool.connection_kwargs)]
    assert not [text for text in shown if _CANARY in text]
    await client.aclose()


async def test_a_password_in_a_file_may_change(tmp_path: Path) -> None:
    """It is read for every log-in; one that is gone is a refused log-in that names no file."""
    file = tmp_path / "password"
    file.write_text("one\n")
    client = open_client(f"redis://user@h?password_file={file}")
    provider = client.connection_pool.connection_kwargs["credential_provider"]
    assert provider.get_credentials() == ("user", "one")
    file.write_text("two")
    assert await provider.get_credentials_async() == ("user", "two")
    file.unlink()
    with pytest.raises(AuthenticationError) as caught:
        provider.get_credentials()
    assert str(tmp_path) not in str(caught.value)


async def test_connecting_has_an_end_and_is_not_tried_twice() -> None:
    """Two seconds; questions have their end where they are asked."""
    pool = open_client("redis://h").connection_pool
    arguments = pool.connection_kwargs
    assert (arguments["socket_connect_timeout"], arguments["socket_timeout"]) == (2.0, None)
    assert arguments["retry"].get_retries() == 0
    assert "credential_provider" not in arguments or arguments["credential_provider"] is None
