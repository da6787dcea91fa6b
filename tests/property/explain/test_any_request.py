"""Whatever is pasted, it is a request or one clear error."""

import shlex

from hypothesis import example, given
from hypothesis import strategies as st

from authz_service.core.facts import Facts
from authz_service.core.rules import Authentication
from authz_service.errors import ConfigurationError
from authz_service.explain.curl import read_curl
from authz_service.explain.envoy import Asked, NotAsked, arrive
from authz_service.explain.request import METHODS, ClientRequest, client_request
from authz_service.testing.builders import CLIENT_ADDRESS, policy, route, tier
from authz_service.wire.captured_check import read_captured_check

TEXT = st.text(st.characters(exclude_categories=()))  # surrogates too
FLAGS = st.sampled_from(
    [
        *("-X", "-H", "-d", "-F", "-I", "-G", "-u", "-b", "-A", "-e", "-k", "-sS", "-o", "-XPOST"),
        *("--url", "--request", "--header", "--data-urlencode", "--oauth2-bearer", "--json", "--"),
        *("--nothing", "-", "-Z", "-HX-API-Key: a", "X-API-Key: a", "http://a:b@c/d?e#f", "|"),
    ]
)
WORDS = st.lists(st.one_of(FLAGS, TEXT), max_size=8)
POLICY = policy(
    [
        route("one", paths=("/", "/{a}", "/{a}/{b}")),
        route("open", methods=("PUT",), paths=("/{a}",), authentication=Authentication.NONE),
    ],
    tiers=[tier()],
)


def request_or_error(text: str) -> ClientRequest | None:
    """Anything but a request or a ConfigurationError with problems, a line each, fails the test."""
    problems: tuple[str, ...] = ()
    try:
        return read_curl(text, client_address=CLIENT_ADDRESS)
    except ConfigurationError as error:
        problems = error.problems
    assert problems
    assert all("\n" not in problem for problem in problems)
    return None


@given(TEXT)
@example("curl \\\n")
@example("curl -")
@example("curl --data-urlencode \udcff -G x")
def test_any_text_is_a_request_or_an_error(text: str) -> None:
    """With and without curl in front."""
    request_or_error(text)
    request_or_error(f"curl {text}")


@given(WORDS)
def test_any_arguments_are_a_request_or_an_error(words: list[str]) -> None:
    """A request that is read arrives at Envoy, and is asked about or answered."""
    request = request_or_error(shlex.join(["curl", *words]))
    if request is not None:
        assert request.method in METHODS
        assert isinstance(arrive(request, POLICY), Asked | NotAsked)


@given(st.sampled_from(METHODS), TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3), TEXT)
def test_any_parts_are_a_request_or_an_error(
    method: str, target: str, headers: list[tuple[str, str]], address: str
) -> None:
    """What is accepted arrives at Envoy with the path that routes are matched by."""
    try:
        request = client_request(
            method=method, target=f"/{target}", headers=tuple(headers), client_address=address
        )
    except ConfigurationError:
        return
    arrived = arrive(request, POLICY)
    if isinstance(arrived, Asked):
        assert arrived.facts.path.startswith("/")


@given(TEXT)
@example("[" * 100_000)
@example('{"attributes": null}')
@example('{"attributes": {"request": {"http": {"method": "\\ud800"}}}}')
@example('{"attributes": {"request": {"http": {"headerMap": {"headers": [{"rawValue": "?"}]}}}}}')
@example('{"attributes": {"request": {"http": {"size": 1e999}}}}')
def test_any_text_is_a_captured_check_or_none(text: str) -> None:
    """Facts or a ValueError, which does not quote the text."""
    told = ""
    try:
        assert isinstance(read_captured_check(text), Facts)
    except ValueError as error:
        told = str(error)
    no_check = "is no CheckRequest in protobuf's JSON form"
    assert told in {"", no_check, "has no attributes.request.http"}
