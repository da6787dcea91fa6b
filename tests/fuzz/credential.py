"""Any headers and query are a credential, none, or a malformed one.

Run it with `python -m tests.fuzz.credential FOLDER`.
"""

from authz_service.core.credential import ApiKey, BearerToken, Malformed, NoCredential, present
from authz_service.testing.builders import facts
from tests.fuzz.guided import fuzz

SEEDS = (
    b"",
    b"\xffx-api-key: test-key-12345",
    b"\xffauthorization: Bearer aaa.bbb.ccc",
    b"\xffauthorization: Basic dXNlcjpwYXNz",
    b"\xffx-api-key: one-of-two\xffx-api-key: two-of-two",
    b"a=1&api%5Fkey=x;b\xff",
)


def target(data: bytes) -> None:
    """The query, and header lines behind it, each after a byte that text does not have."""
    query, *lines = data.split(b"\xff")
    headers = [line.partition(b": ") for line in lines]
    presented = present(
        facts(
            query=query.decode("latin-1"),
            api_keys=tuple(value for name, _, value in headers if name == b"x-api-key"),
            authorizations=tuple(value for name, _, value in headers if name == b"authorization"),
        )
    )
    assert isinstance(presented, ApiKey | BearerToken | NoCredential | Malformed)
    if isinstance(presented, ApiKey | BearerToken):
        assert presented.value in data


def main() -> None:
    """Fuzz, guided by coverage."""
    fuzz(target, SEEDS)


if __name__ == "__main__":
    main()
