"""The keys of the configuration, and those of a store beside them."""

from collections.abc import Sequence

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.key_digest import Pepper, digest, digests
from authz_service.core.verdict import Reason
from authz_service.identity.credentials import Credentials
from authz_service.identity.key_index import KeyIndex
from authz_service.testing.builders import key_record

KEY = b"sk-0123456789"
PEPPERS = (Pepper(b"a-pepper-" + b"1" * 32), Pepper(b"a-pepper-" + b"2" * 32))


class Store:
    """The keys of a store: one answer for everything."""

    def __init__(self, answer: ApiKeyRecord | Reason) -> None:
        self._answer = answer
        self.asked: list[Sequence[bytes]] = []

    def __len__(self) -> int:
        """None that matters."""
        return 1

    def find(self, digests: Sequence[bytes]) -> ApiKeyRecord | Reason:
        """The answer."""
        self.asked.append(digests)
        return self._answer


def test_a_key_is_found_under_any_pepper_in_use() -> None:
    """By its SHA-256, and by its HMAC under each pepper."""
    for found_by in digests(KEY, PEPPERS):
        keys = KeyIndex({found_by: key_record()}, peppers=PEPPERS)
        assert keys.find(KEY) == key_record()
        assert keys.find(b"sk-another-key") is Reason.UNKNOWN_KEY


def test_a_pepper_that_is_gone_takes_its_keys_with_it() -> None:
    """A digest under an unknown pepper is the digest of nothing."""
    keys = KeyIndex({digest(KEY, PEPPERS[1]): key_record()}, peppers=PEPPERS[:1])
    assert keys.find(KEY) is Reason.UNKNOWN_KEY


def test_the_configuration_comes_first() -> None:
    """The store is not even asked for a key of the configuration."""
    store = Store(key_record("other"))
    keys = KeyIndex({digest(KEY): key_record()}).beside(store)
    assert keys.find(KEY) == key_record()
    assert store.asked == []


def test_the_store_is_asked_for_the_rest() -> None:
    """With every digest the key may have there; what it says is the answer."""
    for answer in (key_record(), Reason.KEY_STORE_UNAVAILABLE, Reason.UNKNOWN_KEY):
        store = Store(answer)
        credentials = Credentials(keys=KeyIndex({}, peppers=PEPPERS)).beside(store)
        assert credentials.find_key(KEY) == answer
        assert store.asked == [digests(KEY, PEPPERS)]


def test_a_look_up_hashes_once_and_once_more_a_pepper() -> None:
    """However many keys there are and wherever they come from."""
    store = Store(Reason.UNKNOWN_KEY)
    KeyIndex({digest(bytes([n])): key_record() for n in range(50)}, peppers=PEPPERS).beside(
        store
    ).find(KEY)
    assert [len(asked) for asked in store.asked] == [1 + len(PEPPERS)]
