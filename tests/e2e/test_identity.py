"""Who may pass, through the real Envoy."""

import pytest

from tests.e2e.client import Client, Headers
from tests.e2e.stack import Stack

LIMITS = "/api/v1/images/limits"
UPSCALE = "/api/v1/images/upscale"
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."


def test_a_missing_key_is_401_where_one_is_required(client: Client) -> None:
    """With a challenge, as RFC 9110 asks, and without limit headers."""
    reply = client.send("POST", UPSCALE)

    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    assert reply.header("www-authenticate") == 'ApiKey header="X-API-Key"'
    assert not reply.values("x-ratelimit-limit")


def test_unknown_disabled_and_expired_keys_look_the_same(client: Client) -> None:
    """An outsider cannot tell a wrong key from one that was right once."""
    replies = [
        client.get(LIMITS, [("X-API-Key", key), ("X-Request-ID", "same")])
        for key in ("test-key-unknown", "test-key-disabled", "test-key-expired")
    ]

    assert [reply.status for reply in replies] == [401, 401, 401]
    assert len({reply.body for reply in replies}) == 1


@pytest.mark.parametrize(
    "headers",
    [
        [("X-API-Key", "dev-key-pro"), ("X-API-Key", "dev-key-pro")],
        [("X-API-Key", "dev-key-pro,dev-key-pro")],
        [("X-API-Key", "dev-key-pro"), ("Authorization", f"Bearer {JWT}")],
        [("Authorization", f"Bearer {JWT}"), ("Authorization", f"Bearer {JWT}")],
        [("Authorization", "Basic ZGV2LWtleS1wcm86")],
        [("Authorization", "dev-key-pro")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer dev-key-pro")],
        [("Authorization", f"Bearer {JWT}")],
        [("X-API-Key", "")],
        [("X-API-Key", "short")],
        [("X-API-Key", "dev-key-pro trailing")],
        [("X-API-Key", "DEV-KEY-PRO")],
        [("X-API-Key", "dev-key-pro\xff")],
        [("X-API-Key", "x" * 257)],
        [("X_API_Key", "dev-key-pro"), ("X-API-Key", "unknown-key")],
    ],
)
def test_anything_but_one_good_credential_is_refused_even_where_none_is_needed(
    stack: Stack, client: Client, headers: Headers
) -> None:
    """Doubled, mixed, foreign, malformed: 401, and never a silent downgrade to anonymous."""
    reply = client.get(LIMITS, headers, source=stack.fresh_address())

    assert reply.status in {400, 401}
    assert reply.code in {"BAD_REQUEST", "UNAUTHENTICATED"}


@pytest.mark.parametrize(
    "query",
    [
        "api_key=dev-key-pro",
        "a=1&APIKEY=x",
        "x-api-key=",
        "access_token=x",
        "api%5Fkey=x",
        "a;api_key",
    ],
)
def test_a_credential_in_the_query_is_refused(stack: Stack, client: Client, query: str) -> None:
    """However its name is written, and beside a good header too."""
    reply = client.get(f"{LIMITS}?{query}", [("X-API-Key", stack.fresh_key())])

    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")


def test_keys_of_one_subject_share_their_limits(client: Client) -> None:
    """What one key of a subject has taken is missing for the other, whatever its tier."""
    client.get(LIMITS, [("X-API-Key", "test-key-twin-a")])
    second = client.get(LIMITS, [("X-API-Key", "test-key-twin-b")])

    assert second.json()["tier"] == "pro"
    assert second.header("ratelimit").startswith('"per-minute";r=58;')


def test_anonymous_callers_are_counted_by_address(stack: Stack, client: Client) -> None:
    """Five from one address, and the sixth is refused; another address is not."""
    address, other = stack.fresh_address(), stack.fresh_address()

    statuses = [client.get(LIMITS, source=address).status for _ in range(6)]

    assert statuses == [200] * 5 + [429]
    assert client.get(LIMITS, source=other).status == 200


def test_a_forged_forwarded_address_changes_nothing(stack: Stack, client: Client) -> None:
    """With no trusted proxy in front, `X-Forwarded-For` and Envoy's own header are the client's."""
    address = stack.fresh_address()

    statuses = [
        client.get(
            LIMITS,
            [
                ("X-Forwarded-For", f"203.0.113.{number}"),
                ("X-Envoy-External-Address", f"203.0.113.{number}"),
            ],
            source=address,
        ).status
        for number in range(6)
    ]

    assert statuses == [200] * 5 + [429]


@pytest.mark.parametrize("name", ["x-authz-tier", "X-Authz-Tier", "x-authz-subject"])
def test_identity_headers_of_a_client_are_ignored(stack: Stack, client: Client, name: str) -> None:
    """Only the sidecar says who is calling."""
    reply = client.get(
        LIMITS, [("X-API-Key", stack.fresh_key("free")), (name, "enterprise"), (name, "pro")]
    )

    assert reply.json()["tier"] == "free"
    assert reply.json()["max_file_bytes"] == 5 * 1024 * 1024


def test_a_spoofed_upload_allowance_is_ignored(stack: Stack, client: Client) -> None:
    """The file limit is the tier's, whatever a client claims."""
    reply = client.upload(
        stack.fresh_key("brief"),
        b"\xff\xd8" + bytes(100_000),
        headers=[("x-authz-max-upload-bytes", "104857600")],
    )

    assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")


def test_a_credential_named_in_connection_is_not_there(stack: Stack, client: Client) -> None:
    """Such a header ends at Envoy: its sender is anonymous, and refused where a key is needed."""
    headers = [("X-API-Key", stack.fresh_key()), ("Connection", "X-API-Key")]

    assert client.send("POST", UPSCALE, headers).status == 401
    answer = client.get(LIMITS, headers, source=stack.fresh_address())
    assert answer.json()["tier"] == "anonymous"
