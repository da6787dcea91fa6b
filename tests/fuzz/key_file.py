"""Any text is a list of API keys, or a list of what is wrong with it that tells no secret.

Run it with `python -m tests.fuzz.key_file FOLDER`.
"""

from authz_service.errors import ConfigurationError
from authz_service.identity.api_keys import Source, load_api_keys
from authz_service.identity.key_index import KeyIndex
from tests.fuzz.guided import fuzz

_SECRET = "canary-of-a-key-file"

SEEDS = (
    b"",
    b"- {name: shop, tier: free, key: %s}\n" % _SECRET.encode(),
    b"- name: shop\n  tier: free\n  key_sha256: " + b"0123456789abcdef" * 4 + b"\n",
    b"- {name: t, tier: pro, id: a, subject: b, scopes: [c], disabled: true, key: test-key-1}\n",
    b'- {name: t, tier: pro, key: test-key-2, expires_at: "2027-01-31T00:00:00Z"}\n',
    b'[{"name": "shop", "tier": "free", "key": "%s"}]' % _SECRET.encode(),
    b"- {name: shop, tier: free, %s: 1}\n" % _SECRET.encode(),
    b"- {name: shop, tier: free, key: %s with space}\n" % _SECRET.encode(),
    b"- {name: shop, tier: free, key: !!int %s}\n" % _SECRET.encode(),
)


def target(data: bytes) -> None:
    """A key file, and the same text as `API_KEYS`."""
    text = data.decode("utf-8", errors="surrogateescape")
    for is_yaml in (True, False):
        told = _told(Source("keys", text, is_yaml=is_yaml))
        assert told is None or told.problems
        assert _SECRET not in repr(told)


def _told(source: Source) -> ConfigurationError | None:
    try:
        assert isinstance(load_api_keys([source], tiers={"free", "pro"}), KeyIndex)
    except ConfigurationError as error:
        return error
    return None


def main() -> None:
    """Fuzz, guided by coverage."""
    fuzz(target, SEEDS)


if __name__ == "__main__":
    main()
