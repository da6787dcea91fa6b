"""What a client presented: one credential, none, or something that is refused as it stands."""

import pytest

from authz_service.core.credential import (
    MAX_TOKEN_BYTES,
    ApiKey,
    BearerToken,
    Malformed,
    NoCredential,
    present,
)
from authz_service.core.verdict import Reason
from authz_service.testing.builders import PlantedSecrets, facts

KEY = b"sk-0123456789"


def test_nothing_presented_is_no_credential() -> None:
    """Without a credential header the client presented nothing."""
    assert present(facts()) == NoCredential()


@pytest.mark.parametrize(
    "key", [b"12345678", KEY, b"!" * 256, b"a+b/c=d~e", bytes(range(0x2D, 0x7F))]
)
def test_an_api_key_is_taken_as_it_is(key: bytes) -> None:
    """8 to 256 printable ASCII characters without space and comma are a key, unchanged."""
    assert present(facts(api_keys=(key,))) == ApiKey(key)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"1234567",
        b"a" * 257,
        b" sk-0123456789",
        b"sk-0123456789 ",
        b"sk-0123456789\n",
        b"sk-0123\t456789",
        b"sk-0123,456789",
        b"sk-0123456789\x00",
        b"sk-0123456789\x7f",
        b"sk-0123456789\xff",
        "sk-0123456789é".encode(),
        "\uff53\uff4b-0123456789".encode(),
    ],
)
def test_a_key_that_needs_interpreting_is_malformed(key: bytes) -> None:
    """Nothing is trimmed or folded: one character out of place refuses the whole key."""
    assert present(facts(api_keys=(key,))) == Malformed(Reason.MALFORMED_CREDENTIAL)


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
def test_a_bearer_token_is_found_in_any_case_of_its_scheme(scheme: bytes) -> None:
    """The scheme's name is case-insensitive (RFC 9110 section 11.1); the token is not."""
    assert present(facts(authorizations=(scheme + b" aB.c-_~+/=",))) == BearerToken(b"aB.c-_~+/=")


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer  token",
        b"Bearer\ttoken",
        b"Bearer token ",
        b"Bearer to ken",
        b"Bearer one,two",
        b"Bearer tok\xffen",
        b"Bearer token\n",
        b"Bearertoken",
        b"Bearer " + b"a" * (MAX_TOKEN_BYTES - len(b"Bearer ") + 1),
    ],
)
def test_a_broken_bearer_credential_is_malformed(value: bytes) -> None:
    """A bearer scheme without exactly one clean token is refused."""
    assert present(facts(authorizations=(value,))) == Malformed(Reason.MALFORMED_CREDENTIAL)


def test_a_token_may_be_eight_kibibytes_long() -> None:
    """The longest header that is read at all is 8 KiB."""
    token = b"a" * (MAX_TOKEN_BYTES - len(b"Bearer "))
    assert present(facts(authorizations=(b"Bearer " + token,))) == BearerToken(token)


@pytest.mark.parametrize(
    "value", [b"", b" Bearer token", b"Basic dXNlcjpwdw==", b"ApiKey sk-0123456789", b"token"]
)
def test_another_scheme_is_unsupported(value: bytes) -> None:
    """Any other Authorization value is refused: it is never ignored."""
    assert present(facts(authorizations=(value,))) == Malformed(Reason.UNSUPPORTED_SCHEME)


@pytest.mark.parametrize(
    ("api_keys", "authorizations"),
    [
        ((KEY, KEY), ()),
        ((KEY, b""), ()),
        ((), (b"Bearer a", b"Bearer a")),
        ((KEY,), (b"Bearer a",)),
        ((b"",), (b"",)),
    ],
)
def test_two_credentials_are_ambiguous(
    api_keys: tuple[bytes, ...], authorizations: tuple[bytes, ...]
) -> None:
    """Two values are never weighed against each other, not even equal or empty ones."""
    presented = present(facts(api_keys=api_keys, authorizations=authorizations))
    assert presented == Malformed(Reason.AMBIGUOUS_CREDENTIAL)


@pytest.mark.parametrize(
    "query",
    [
        "api_key=x",
        "apikey=x",
        "x-api-key=x",
        "access_token=x",
        "API_KEY=x",
        "ApiKey",
        "api_key=",
        "a=1&api_key=x",
        "a=1;api_key=x",
        "api%5Fkey=x",
        "%61%70%69_key=x",
        "x%2Dapi%2dkey=x",
        "a=1&&access%5ftoken=x&b",
    ],
)
def test_a_credential_in_the_query_is_refused(query: str) -> None:
    """However its name is spelled, a credential in the query is refused before any header."""
    presented = present(facts(query=query, api_keys=(KEY,)))
    assert presented == Malformed(Reason.CREDENTIAL_IN_QUERY)


@pytest.mark.parametrize("query", ["key=x", "q=api_key", "my_api_key=x", "a=b=api_key", "&;=", "%"])
def test_another_query_is_no_credential(query: str) -> None:
    """Only the name of a parameter counts, and only the whole name."""
    assert present(facts(query=query)) == NoCredential()


def test_no_representation_shows_a_credential(planted_secrets: PlantedSecrets) -> None:
    """Facts and credentials can be logged by accident without giving anything away."""
    secret = planted_secrets.api_key.encode()
    values = [
        facts(
            query=f"api_key={planted_secrets.password}",
            api_keys=(secret,),
            authorizations=(planted_secrets.token.encode(),),
        ),
        ApiKey(secret),
        BearerToken(secret),
    ]
    assert planted_secrets.found_in(repr(values)) == []
