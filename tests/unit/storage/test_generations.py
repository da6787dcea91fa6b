"""A bounded memory forgets the oldest first."""

from hypothesis import given
from hypothesis import strategies as st

from authz_service.storage.generations import Generations


@given(st.integers(1, 8), st.lists(st.integers(0, 30)))
def test_the_last_entries_are_known_and_never_twice_as_many(at_least: int, keys: list[int]) -> None:
    """Whatever is put, however often."""
    kept = Generations[int, int](at_least=at_least)
    for place, key in enumerate(keys):
        kept.put(key, place)
        assert kept.get(key) == place
        assert len(kept) < 2 * at_least or at_least == 1
    last = list(dict.fromkeys(reversed(keys)))[:at_least]
    for key in last:
        assert kept.get(key) == len(keys) - 1 - keys[::-1].index(key)
    kept.clear()
    assert len(kept) == 0
