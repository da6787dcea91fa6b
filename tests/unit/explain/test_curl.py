"""A curl command line, read as the request that curl would send."""

from base64 import b64encode

import pytest

from authz_service.errors import ConfigurationError
from authz_service.explain.curl import read_curl
from authz_service.explain.request import ClientRequest
from authz_service.testing.builders import CLIENT_ADDRESS, PlantedSecrets

URL = "http://localhost:8000/v1/things"


def read(text: str) -> ClientRequest:
    """The request of a command."""
    return read_curl(text, client_address=CLIENT_ADDRESS)


def refused(text: str) -> str:
    """Why a command is no request."""
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("flags", "method"),
    [
        ("", "GET"),
        ("-X DELETE", "DELETE"),
        ("-XPATCH", "PATCH"),
        ("--request PUT", "PUT"),
        ("-X GET -d x", "GET"),
        ("-d a=1", "POST"),
        ("-da=1", "POST"),
        ("--data-raw '{}'", "POST"),
        ("--data-binary @file.bin", "POST"),
        ("--json '{}'", "POST"),
        ("-F file=@x.jpg -F scale=2", "POST"),
        ("-I", "HEAD"),
        ("-sSI", "HEAD"),
        ("-G -d a=1", "GET"),
        ("-T x.jpg", "PUT"),
    ],
)
def test_flags_choose_the_method(flags: str, method: str) -> None:
    """As curl chooses it: -X before all, then -I, -G, -T, and POST where there is a body."""
    assert read(f"curl {flags} {URL}").method == method


@pytest.mark.parametrize(
    ("command", "path", "query"),
    [
        (f"curl {URL}", "/v1/things", ""),
        ("curl --url https://user:pw@api.example.com/a?b=1#part", "/a", "b=1"),
        ("curl localhost:8000", "/", ""),
        ("curl http://localhost?q=http://x/y", "/", "q=http://x/y"),
        ("curl http://[::1]:8000/a", "/a", ""),
        (
            f"curl -G -d a=1 --data-urlencode 'b=x y&z' {URL}?c=2",
            "/v1/things",
            "c=2&a=1&b=x+y%26z",
        ),
        (
            f"curl --get --data-urlencode 'x y' --data-urlencode =z/ {URL}",
            "/v1/things",
            "x+y&z%2F",
        ),
    ],
)
def test_an_address_is_cut_into_path_and_query(command: str, path: str, query: str) -> None:
    """Scheme, host and fragment do not reach the service; -G adds to the query."""
    request = read(command)
    assert (request.path, request.query) == (path, query)


def test_headers_are_kept_apart_and_in_order() -> None:
    """A repeated one is sent twice; `Name;` sends it empty, `Name:` not at all."""
    request = read(
        f"curl -H 'X-API-Key: one' -HX-API-Key:two --header 'X-Empty;' -H 'X-Gone:' {URL}"
    )
    assert request.headers == (("x-api-key", "one"), ("x-api-key", "two"), ("x-empty", ""))


@pytest.mark.parametrize(
    ("flags", "login"), [("-u me:secret", "me:secret"), ("--user me:", "me:"), ("", "a b:c")]
)
def test_a_user_becomes_a_basic_authorization(flags: str, login: str) -> None:
    """From -u, or else from the address."""
    address = "http://a%20b:c@localhost/"
    expected = f"Basic {b64encode(login.encode()).decode()}"
    assert read(f"curl {flags} {address}").values("authorization") == (expected,)


def test_a_bearer_token_has_a_flag() -> None:
    """--oauth2-bearer sends what a header would, and a header given as it is comes first."""
    request = read(f"curl --oauth2-bearer a.b.c {URL}")
    assert request.values("authorization") == ("Bearer a.b.c",)
    request = read(f"curl --oauth2-bearer a.b.c -u x:y -H 'authorization: Own z' {URL}")
    assert request.values("authorization") == ("Own z",)


def test_what_decides_nothing_is_passed_over() -> None:
    """Output, time limits, certificates, cookies and the like, long, short and in clusters."""
    harmless = (
        "-ksvLi -o out.txt -w '%{http_code}' -m 5 --connect-timeout 2 --retry 3 -b c=1 -A me"
        " -e https://x --compressed --cacert ca.pem --http2 --fail-with-body -#N -g --path-as-is"
    )
    assert read(f"curl {harmless} {URL}") == read(f"curl {URL}")


def test_a_command_of_several_lines_is_one() -> None:
    """Lines that end in a backslash go on, as people paste them."""
    assert read(f"curl -X POST \\\n  -H 'X-API-Key: one' \\\r\n  {URL}").method == "POST"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("", "does not begin with curl"),
        ("wget http://x", "does not begin with curl"),
        ("curl", "has no address"),
        ("curl -s", "has no address"),
        ("curl 'http://x", "has a quote or a backslash that nothing ends"),
        ("curl http://x \\", "has a quote or a backslash that nothing ends"),
        ("curl http://x http://y", "has two addresses; is an argument with blanks not quoted?"),
        ("curl -H", "ends after -H, which takes an argument"),
        ("curl http://x --max-time", "ends after --max-time, which takes an argument"),
        ("curl -H 'no colon' http://x", "has a header without a colon"),
        ("curl -H @headers http://x", "reads headers from a file; write it out"),
        ("curl -G -d @query http://x", "reads the query from a file; write it out"),
        ("curl -G --data-urlencode a@query http://x", "reads the query from a file; write it out"),
        ("curl -u me http://x", "names a user without a password, and curl would ask for it"),
        ("curl ftp://x/", "has an address that is no http:// or https:// one"),
        ("curl /v1/things", "has an address that is no http:// or https:// one"),
        ("curl http://x \ud800", "has characters that cannot be sent"),
        (
            "curl http://x | jq",
            "holds more than one command: leave out pipes, redirections and what follows",
        ),
    ],
)
def test_what_is_no_request_is_told(command: str, told: str) -> None:
    """One sentence that says what to change."""
    assert refused(command) == f"curl command: {told}"


@pytest.mark.parametrize(
    "flag", ["-K", "--config", "--aws-sigv4", "-n", "--next", "-:", "--no-head"]
)
def test_an_unknown_flag_is_refused_by_name(flag: str) -> None:
    """It could send a credential that the explanation would then not know of."""
    told = f"has the flag {flag}, which explain does not know; leave it out if it sends nothing"
    assert refused(f"curl {flag} x {URL}") == f"curl command: {told}"


@pytest.mark.parametrize(
    "command",
    [
        "curl -H X-API-Key: {secret} " + URL,
        "curl -H '{secret}' " + URL,
        "curl -X {secret} " + URL,
        "curl -u {secret} " + URL,
        "curl -H 'X-\x01: {secret}' " + URL,
        "curl -H 'X-API-Key: {secret}\x01' " + URL,
        "curl {secret}://x/",
        "curl 'http://x/{secret} y'",
        "curl http://x -d {secret} --data='{secret}'",
    ],
)
def test_no_message_repeats_an_argument(command: str, planted_secrets: PlantedSecrets) -> None:
    """Any argument may be a secret that slipped out of its quotes."""
    for secret in (planted_secrets.api_key, planted_secrets.token, planted_secrets.password):
        assert planted_secrets.found_in(refused(command.format(secret=secret))) == []


def test_a_request_does_not_show_its_secrets(planted_secrets: PlantedSecrets) -> None:
    """Neither headers nor the query stand in its `repr`."""
    request = read(
        f"curl -H 'X-API-Key: {planted_secrets.api_key}' '{URL}?k={planted_secrets.token}'"
    )
    assert planted_secrets.found_in(repr(request)) == []
