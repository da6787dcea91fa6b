"""CPU of one bearer token: verified anew, and remembered.

    python bench/tokens.py

Verifies tokens of a usual size (about 300 bytes of claims) in this process, as a worker does.
Compare rows of one run: machines and moments differ.
"""

import tracemalloc
from dataclasses import dataclass
from time import process_time

from authz_service.core.identity import Identity
from authz_service.identity.jwks import read_jwks
from authz_service.identity.signing_keys import KeySet, secret_key
from authz_service.identity.tokens import MAX_REMEMBERED, FixedKeys, TokenVerifier, Trusted
from authz_service.testing.tokens import NOW_S, SECRET, Signer, claims, key_set, provider, signer

NOW_MS = NOW_S * 1000
ANEW, REMEMBERED = 2_000, 50_000
ALGORITHMS = ("HS256", "RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")
SAID = {
    "jti": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "tier": "pro",
    "scope": "images:read images:write jobs:read",
    "client_id": "6c5f1fc0-2f6b-4f0f-9f0e-6a5d1b3f9a34",
    "name": "Ada Lovelace",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    algorithm: str
    bytes: int
    anew_us: float
    remembered_us: float
    refused_us: float


def main() -> None:
    """Measure every row and print the table."""
    rows = [_measure(algorithm) for algorithm in ALGORITHMS]
    print(f"{'algorithm':<9} {'bytes':>5} {'anew µs':>8} {'known µs':>9} {'forged µs':>10}")
    for row in rows:
        print(
            f"{row.algorithm:<9} {row.bytes:>5} {row.anew_us:>8.0f}"
            f" {row.remembered_us:>9.1f} {row.refused_us:>10.0f}"
        )
    print(f"{_bytes_of_a_remembered_token():.0f} bytes for each token that is remembered")


def _verifier(one: Signer) -> TokenVerifier:
    algorithms = frozenset({one.algorithm})
    if one.algorithm == "HS256":
        keys = KeySet([secret_key(SECRET, algorithms)])
    else:
        keys = read_jwks(key_set(one.jwk()), algorithms)
    return TokenVerifier([Trusted(provider(one.algorithm), FixedKeys(keys))])


def _measure(algorithm: str) -> Row:
    one = signer(algorithm, None if algorithm == "HS256" else "one")
    tokens = [one.token(claims(sub=f"user-{number}", **SAID)) for number in range(ANEW)]
    forged = [token[:-20] + b"A" * 19 + b"A" for token in tokens]
    return Row(
        algorithm=algorithm,
        bytes=len(tokens[0]),
        anew_us=_microseconds(_verifier(one), tokens),
        remembered_us=_microseconds(_verifier(one), tokens[:1] * REMEMBERED),
        refused_us=_microseconds(_verifier(one), forged),
    )


def _microseconds(verifier: TokenVerifier, tokens: list[bytes]) -> float:
    verifier.verify(tokens[0], NOW_MS)  # warms up
    started = process_time()
    for token in tokens:
        verifier.verify(token, NOW_MS)
    return (process_time() - started) / len(tokens) * 1e6


def _bytes_of_a_remembered_token() -> float:
    one = signer("HS256")
    verifier = _verifier(one)
    tokens = [one.token(claims(sub=f"user-{number}", **SAID)) for number in range(MAX_REMEMBERED)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for token in tokens:
        if not isinstance(verifier.verify(token, NOW_MS), Identity):
            raise SystemExit("a good token is refused")
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(verifier)


if __name__ == "__main__":
    main()
