"""What can be sent at all."""

import pytest

from authz_service.errors import ConfigurationError
from authz_service.explain.request import client_request, read_header


def test_a_request_is_read_as_a_server_reads_it() -> None:
    """Header names in lower case, values without outer blanks, the query apart."""
    request = client_request(
        method="GET",
        target="/a/b?c=d?e",
        headers=(("X-API-Key", "  a b\t"), ("x-api-key", "")),
        client_address="2001:db8::1",
    )
    assert (request.path, request.query) == ("/a/b", "c=d?e")
    assert request.values("x-api-key") == ("a b", "")
    assert request.values("authorization") == ()


def test_everything_that_cannot_be_sent_is_told_at_once() -> None:
    """Method, path, query, headers and address, none of them quoted but the address."""
    headers = (("x y", "1"), ("", "1"), ("x", "a\nb"), ("y", "\ud800"), ("z", "\udcff ä"))
    with pytest.raises(ConfigurationError) as caught:
        client_request(method="FLY", target="a b?c d", headers=headers, client_address="here")
    assert caught.value.problems == (
        "method: is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE",
        "path: begins with / and has other characters percent-encoded, as clients send them",
        "query: has blanks, # and other than ASCII percent-encoded, as clients send them",
        "header: its name has a character that no name may have",
        "header: its name has a character that no name may have",
        "header x: its value has a character that no value may have",
        "header y: its value has a character that no value may have",
        "client address: 'here' is no IP address",
    )


@pytest.mark.parametrize("path", ["", "a", "//", "/a#b", "/ä", "/a b", "/{x}", "/a\\b", "/a\n"])
def test_a_path_has_the_characters_that_clients_send(path: str) -> None:
    """Only two slashes of these are a path."""
    if path == "//":
        client_request(method="GET", target=path, headers=(), client_address="::1")
        return
    with pytest.raises(ConfigurationError, match="path: begins with /"):
        client_request(method="GET", target=path, headers=(), client_address="::1")


def test_a_header_line_has_a_colon() -> None:
    """What stands before the first one is the name."""
    assert read_header("X-API-Key: a:b") == ("X-API-Key", " a:b")
    with pytest.raises(ConfigurationError, match=r"^header: is not of the form 'Name: value'$"):
        read_header("sk-secret")
