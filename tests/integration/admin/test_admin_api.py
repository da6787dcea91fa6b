"""Who may speak to the admin API, how much they may say, and that nothing they say breaks it."""

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from authz_service.addresses import HostAndPort
from authz_service.errors import ListenError
from authz_service.transports import admin
from authz_service.transports.admin import MAX_BODY_BYTES, AdminApi
from authz_service.transports.admin_route import AdminRequest, AdminRoute, Reply
from tests.integration.admin.api import AUTHORIZATION, TOKEN, Answer, Api
from tests.unit.identity.key_admins import stored

NEW = {"name": "The web shop", "tier": "pro"}
OPERATIONS = [
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("POST", "/v1/keys/import"),
    ("GET", "/v1/keys/key_a"),
    ("DELETE", "/v1/keys/key_a"),
    ("POST", "/v1/keys/key_a/disable"),
    ("POST", "/v1/keys/key_a/enable"),
    ("POST", "/v1/keys/key_a/reroll"),
]


def is_an_error(answer: Answer, status: int, code: str) -> bool:
    """Whether an answer has the one form of errors, and nothing keeps it."""
    error = answer.json["error"]
    return (
        (answer.status, error["code"]) == (status, code)
        and error["request_id"] == answer.headers["X-Request-ID"]
        and answer.headers["Cache-Control"] == "no-store"
        and answer.headers["Content-Type"].startswith("application/json")
    )


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [TOKEN],
        [f"Basic {TOKEN}"],
        [f"Bearer {TOKEN[:-1]}"],
        [f"Bearer {TOKEN}x"],
        [f"Bearer  {TOKEN}"],
        [f"Bearer {TOKEN.upper()}"],
        [f"Bearer {TOKEN}, Bearer {TOKEN}"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        [f"Bearer {TOKEN}", "Bearer x"],
        ["Bearer ünïcödé"],
        ["Bearer " + "x" * 5_000],
    ],
)
async def test_nobody_is_answered_without_the_token(api: Api, values: Sequence[str]) -> None:
    """401 everywhere, whether there is anything or not, and nothing is done."""
    api.it.store.put(stored("key_a"))
    for method, path in [*OPERATIONS, ("GET", "/"), ("PATCH", "/v1/keys"), ("GET", "/metrics")]:
        answer = await api.ask_bare(
            method, path, headers=[("Authorization", value) for value in values], json=NEW
        )
        assert is_an_error(answer, 401, "UNAUTHENTICATED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert TOKEN.encode() not in answer.body
    assert api.it.store.records == {"key_a": stored("key_a")}


async def test_the_scheme_may_be_written_in_any_case(api: Api) -> None:
    """RFC 9110 says so; the token may not."""
    answer = await api.ask_bare("GET", "/v1/keys", headers={"authorization": f"bEARER {TOKEN}"})
    assert answer.status == 200


async def test_a_refused_token_is_logged_without_itself(api: Api) -> None:
    """Where it came from is said."""
    with capture_logs() as lines:
        await api.ask_bare("GET", "/v1/keys", headers={"Authorization": "Bearer canary-wrong"})
    (line,) = lines
    assert (line["event"], line["remote"]) == ("admin request without the token", "127.0.0.1")
    assert "canary" not in str(lines)


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/keys/", "/v1/keys//", "/v1/keys/a/b", "/V1/keys", "/v1/keys/a/fly"]
)
async def test_other_paths_lead_nowhere(api: Api, path: str) -> None:
    """404, by any method."""
    for method in ("GET", "POST", "DELETE"):
        answer = await api.ask(method, path)
        assert answer.status in {404, 405} if path == "/v1/keys/" else answer.status == 404
        assert is_an_error(answer, answer.status, answer.json["error"]["code"])


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/keys", "GET, POST"),
        ("PATCH", "/v1/keys/key_a", "GET, DELETE"),
        ("GET", "/v1/keys/key_a/disable", "POST"),
        ("OPTIONS", "/v1/keys", "GET, POST"),
        ("DELETE", "/v1/keys", "GET, POST"),
    ],
)
async def test_other_methods_are_refused(api: Api, method: str, path: str, allowed: str) -> None:
    """405, and what is allowed."""
    answer = await api.ask(method, path)
    assert is_an_error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"name": 1, "name": 2}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"9" * 60_000,
        b"\x1f\x8b\x08\x00",
        b'{"name": "half',
    ],
)
async def test_what_is_no_json_is_refused(api: Api, body: bytes) -> None:
    """400, also where it nests deeper than anybody reads or has more digits than anybody counts."""
    headers = {"Content-Type": "application/json"}
    answer = await api.ask("POST", "/v1/keys", data=body, headers=headers)
    assert is_an_error(answer, 400, "BAD_REQUEST")


@pytest.mark.parametrize("value", ["text/plain", "application/x-www-form-urlencoded", "x"])
async def test_a_body_says_that_it_is_json(api: Api, value: str) -> None:
    """415, so that no form of a web page gets through."""
    answer = await api.ask("POST", "/v1/keys", data=b"{}", headers={"Content-Type": value})
    assert is_an_error(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await api.ask("POST", "/v1/keys", data=json.dumps(NEW).encode(), headers=headers)
    assert answer.status == 201


async def test_a_packed_body_is_not_unpacked(api: Api) -> None:
    """A bomb stays as small as it came."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    packed = gzip.compress(json.dumps(NEW).encode())
    answer = await api.ask("POST", "/v1/keys", data=packed, headers=headers)
    assert is_an_error(answer, 400, "BAD_REQUEST")


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_has_a_size(api: Api, chunked: bool) -> None:  # noqa: FBT001
    """413 beyond 64 KiB, however it is sent; as much as fits is read."""
    headers = {"Content-Type": "application/json"}

    async def parts(content: bytes) -> Any:  # noqa: ANN401
        for start in range(0, len(content), 10_000):
            yield content[start : start + 10_000]

    async def post(content: bytes) -> Answer:
        data = parts(content) if chunked else content
        return await api.ask("POST", "/v1/keys", data=data, headers=headers)

    fitting = json.dumps(NEW).encode().ljust(MAX_BODY_BYTES)
    assert (await post(fitting)).status == 201
    assert is_an_error(await post(fitting + b" "), 413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_stops_half_way_is_given_up(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408 after a while, and the connection ends."""
    monkeypatch.setattr(admin, "_BODY_SECONDS", 0.1)
    monkeypatch.setattr(admin, "_LINGER_SECONDS", 0.1)
    raw = await api.send(
        b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close"
        b"\r\nAuthorization: " + AUTHORIZATION["Authorization"].encode() + b"\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    assert raw.startswith(b"HTTP/1.1 408 ")
    assert b'"REQUEST_TIMEOUT"' in raw


async def test_a_head_that_stops_half_way_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As is a connection on which nothing comes."""
    monkeypatch.setattr(admin, "_HEAD_SECONDS", 0.2)
    listener = AdminApi(HostAndPort("127.0.0.1", 0), token=TOKEN, routes=(), new_id=str)
    await listener.start()
    try:
        for sent in (b"", b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nX-Half:"):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(sent)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
    finally:
        await listener.stop()


@pytest.mark.parametrize(
    "sent",
    [
        b"canary\r\n\r\n",
        b"GET /v1/keys HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00canary",
        b"GET /v1/keys HTTP/1.1\r\nHost: a\r\ncan ary: canary\r\n\r\n",
        b"GET /v1/keys HTTP/1.1\r\nAuthorization: canary\x00\r\n\r\n",
        b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nContent-Length: canary\r\n\r\n",
        b"GET /" + b"canary" * 4_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_without_being_quoted(
    api: Api, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """400 in the one form of errors, in the answer and in every log."""
    with capture_logs() as lines:
        raw = await api.send(sent)
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.")
    assert b" 400 " in head.splitlines()[0]
    error = json.loads(body)["error"]
    assert (error["code"], error["request_id"]) == ("BAD_REQUEST", "request-1")
    assert "canary" not in raw.decode() + caplog.text + str(lines)


async def test_a_broken_chunk_is_refused(api: Api) -> None:
    """400, though the head was right."""
    raw = await api.send(
        b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close"
        b"\r\nAuthorization: " + AUTHORIZATION["Authorization"].encode() + b"\r\n"
        b"Transfer-Encoding: chunked\r\n\r\ncanary\r\n{}\r\n0\r\n\r\n"
    )
    assert raw.split(b" ", 2)[1] == b"400"
    assert b"canary" not in raw


@pytest.mark.parametrize("given_id", ["", "two words", "x" * 129, "ü"])
async def test_an_id_that_is_not_fit_for_logs_is_replaced(api: Api, given_id: str) -> None:
    """A sane one comes back."""
    kept = await api.ask("GET", "/v1/keys", headers={"X-Request-ID": "abc-1"})
    assert kept.headers["X-Request-ID"] == "abc-1"
    replaced = await api.ask("GET", "/v1/keys", headers={"X-Request-ID": given_id})
    assert replaced.headers["X-Request-ID"].startswith("request-")


def json_values() -> st.SearchStrategy[Any]:
    """Anything that JSON can say."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), inner, max_size=6)
        ),
        max_leaves=12,
    )


FIELDS = [
    *("name", "tier", "id", "subject", "scopes", "expires_at", "rate", "quota", "networks"),
    *("environment", "overlap", "key_sha256", "key_hmac", "disabled", "key"),
]
RIGHT = {
    "name": st.text(max_size=140),
    "tier": st.sampled_from(["free", "pro"]),
    "id": st.text(max_size=10),
    "subject": st.text(max_size=10),
    "scopes": st.lists(st.text(max_size=5), max_size=3),
    "expires_at": st.from_regex(r"[0-9]{1,4}[smhdw-].{0,20}"),
    "rate": st.from_regex(r"[0-9]{1,4}(/|per )[a-z]{0,6}"),
    "quota": st.from_regex(r"[0-9]{1,4}/[a-z]{0,6}"),
    "networks": st.lists(st.ip_addresses().map(str) | st.text(max_size=9), max_size=3),
    "environment": st.sampled_from(["live", "test", "", "LIVE"]),
}
BODIES = (
    st.binary(max_size=200)
    | json_values().map(lambda it: json.dumps(it).encode())
    | st.fixed_dictionaries({}, optional=RIGHT).map(lambda it: json.dumps(it).encode())
)
SEGMENTS = st.lists(
    st.sampled_from(["v1", "keys", "import", "reroll", "disable", "key_a", "", "..", "%2F", "%FF"])
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    operation=st.sampled_from([it for it in OPERATIONS if it[0] == "POST"]),
    body=BODIES,
)
async def test_no_body_breaks_it(api: Api, operation: tuple[str, str], body: bytes) -> None:
    """Never a 5xx, always JSON, whatever is sent to whichever operation."""
    api.it.store.put(stored("key_a"))
    with capture_logs() as lines:
        answer = await api.ask(*operation, data=body, headers={"Content-Type": "application/json"})
    assert answer.status in {200, 201, 400, 409, 422}
    assert answer.json is not None
    assert lines == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD", "CONNECT", "X"]),
    segments=SEGMENTS,
    query=st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=20),
)
async def test_no_path_breaks_it(api: Api, method: str, segments: list[str], query: str) -> None:
    """Never a 5xx, whatever is asked for."""
    target = "/" + "/".join(segments) + (f"?{query}" if query else "")
    raw = await api.send(
        f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: {AUTHORIZATION['Authorization']}\r\n\r\n".encode("latin-1")
    )
    status = int(raw.split(b" ")[1])
    assert status in {200, 204, 400, 404, 405, 409, 415, 422}


async def test_an_operation_that_breaks_is_a_503() -> None:
    """Logged with the id of the request; the client learns nothing of what it was."""

    async def explode(_: AdminRequest) -> Reply:
        raise RuntimeError("planted")

    async with one_route(explode) as client:
        with capture_logs() as lines:
            async with client.get("/v1/it", headers=AUTHORIZATION) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert b"planted" not in await answer.read()
        (line,) = lines
        assert line["event"] == "admin request failed"
        assert line["request_id"] == answer.headers["X-Request-ID"]


async def test_an_operation_that_hangs_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while."""
    monkeypatch.setattr(admin, "_ANSWER_SECONDS", 0.1)

    async def hang(_: AdminRequest) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with one_route(hang) as client, client.get("/v1/it", headers=AUTHORIZATION) as answer:
        assert answer.status == 503


@contextlib.asynccontextmanager
async def one_route(handle: Any) -> Any:  # noqa: ANN401
    """A client of an API with one operation."""
    route = AdminRoute(method="GET", path="/v1/it", handle=handle)
    listener = AdminApi(
        HostAndPort("127.0.0.1", 0), token=TOKEN, routes=[route], new_id=lambda: "r"
    )
    await listener.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{listener.port}") as client:
            yield client
    finally:
        await listener.stop()


async def test_a_client_that_leaves_does_not_undo_its_change(api: Api) -> None:
    """What was asked for is done, and written down, though nobody hears of it."""
    asked = asyncio.Event()
    api.it.store.before_apply = asked.set
    api.it.store.put(stored("key_a"))
    with socket.create_connection(("127.0.0.1", api.listener.port)) as client:
        client.sendall(
            b"POST /v1/keys/key_a/disable HTTP/1.1\r\nHost: a\r\n"
            b"Authorization: " + AUTHORIZATION["Authorization"].encode() + b"\r\n\r\n"
        )
    async with asyncio.timeout(10):
        await asked.wait()
    assert api.it.store.records["key_a"].disabled
    assert [line.action for line in api.it.audit] == ["disabled"]


async def test_only_loopback_is_silent() -> None:
    """An address that others can reach is said to be one."""
    for host, warned in (("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)):
        listener = AdminApi(HostAndPort(host, 0), token=TOKEN, routes=(), new_id=str)
        with capture_logs() as lines:
            await listener.start()
        await listener.stop()
        assert any(line["log_level"] == "warning" for line in lines) is warned
        assert TOKEN not in str(lines) + repr(listener) + str(vars(listener))


async def test_a_taken_port_is_an_error(api: Api) -> None:
    """Named in the message."""
    second = AdminApi(
        HostAndPort("127.0.0.1", api.listener.port), token=TOKEN, routes=(), new_id=str
    )
    with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{api.listener.port}: "):
        await second.start()
    await second.stop()


async def test_nothing_but_the_creating_answer_has_a_secret(api: Api) -> None:
    """No log line, no repr, no error, whatever is done with the key."""
    with capture_logs() as lines:
        made = await api.ask("POST", "/v1/keys", json={**NEW, "id": "a"})
        secret = made.json["secret"]
        answers = [
            await api.ask("GET", "/v1/keys"),
            await api.ask("GET", f"/v1/keys/{secret}"),
            await api.ask("GET", "/v1/keys", headers={"X-Other": secret}),
            await api.ask("POST", "/v1/keys", json={**NEW, "id": "b", "subject": f"{secret}!"}),
            await api.ask("POST", "/v1/keys", json={secret: secret}),
            await api.ask("POST", "/v1/keys/a/reroll", json={"overlap": secret}),
            await api.ask("POST", "/v1/keys/a/disable", json=secret),
            await api.ask("DELETE", "/v1/keys/a"),
        ]
    assert made.status == 201
    assert [answer.status for answer in answers] == [200, 404, 200, 422, 422, 422, 200, 204]
    told = str([answer.body for answer in answers]) + str(lines) + repr(api.it)
    assert secret not in told
    assert TOKEN not in told
