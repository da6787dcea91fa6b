"""Whatever a provider publishes, it is a key set or refused."""

from hypothesis import given
from hypothesis import strategies as st

from authz_service.identity.jwks import UnusableJwksError, read_jwks
from authz_service.identity.signing_keys import KeySet
from authz_service.identity.tokens import FixedKeys, TokenVerifier, Trusted
from authz_service.testing.tokens import NOW_S, Signer, key_set, provider, signer

ALL = frozenset({"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"})
SIGNERS = [signer("RS256", "one"), signer("ES256", "two"), signer("EdDSA", "three")]
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.text(max_size=50)
    | st.text(alphabet="AQgw-_", max_size=400)
    | st.lists(st.sampled_from(["verify", "sign", 1]), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "P-384", "Ed25519", "ES256", "sig"])
)
NAMES = st.sampled_from(
    ["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "d", "k"]
)
MEMBERS = VALUES | st.dictionaries(NAMES, VALUES)


def read(text: bytes) -> KeySet | None:
    """The set, or None."""
    try:
        return read_jwks(text, ALL)
    except UnusableJwksError:
        return None


@given(st.binary())
def test_any_bytes_are_no_set(text: bytes) -> None:
    """And nothing else is raised."""
    assert read(text) is None


@given(st.lists(MEMBERS, max_size=5))
def test_any_members_beside_a_good_one_leave_it(members: list[object]) -> None:
    """They cost themselves alone."""
    keys = read(key_set(*members, SIGNERS[1].jwk()))
    assert keys is not None
    assert "two" in {key.id for key in keys.keys}


@given(st.sampled_from(SIGNERS), NAMES, VALUES)
def test_any_change_of_a_good_member_is_survived(one: Signer, name: str, value: object) -> None:
    """It is the same key, another one, or none."""
    keys = read(key_set({**one.jwk(), name: value}))
    assert keys is None or len(keys) == 1


@given(st.sampled_from(SIGNERS), st.binary(), st.binary())
def test_any_signature_is_judged(one: Signer, signed: bytes, signature: bytes) -> None:
    """Bytes that nobody signed are not signed, whatever the library thinks of them."""
    (key,) = read_jwks(key_set(one.jwk()), ALL).keys
    assert not key.verifies(one.algorithm, signed, signature)


@given(st.binary())
def test_any_token_is_judged(token: bytes) -> None:
    """A verifier gives a reason for whatever comes."""
    keys = FixedKeys(read_jwks(key_set(*(one.jwk() for one in SIGNERS)), ALL))
    verifier = TokenVerifier([Trusted(provider(*ALL), keys)])
    assert isinstance(verifier.verify(token, NOW_S * 1000), str)
