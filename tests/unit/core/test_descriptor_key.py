"""The names of the counters of descriptors."""

import pytest

from authz_service.core.descriptor_key import descriptor_key
from authz_service.core.descriptors import Algorithm, DescriptorLimit, Entry, Unit

MINUTE = DescriptorLimit(requests_per_unit=1, unit=Unit.MINUTE)


@pytest.mark.parametrize(
    ("entries", "key"),
    [
        ((Entry("a", "b"),), b"authz:{d1:shop,a=b}:exact:60"),
        ((Entry("a", "b"), Entry("c", "")), b"authz:{d1:shop,a=b,c=}:exact:60"),
        ((Entry("a", "x=y,z*"),), b"authz:{d1:shop,a=x%3Dy%2Cz%2A}:exact:60"),
        ((Entry("a", "a_*", is_pattern=True),), b"authz:{d1:shop,a*=a_%2A}:exact:60"),
        ((Entry("k", "}\n\u00e9"),), b"authz:{d1:shop,k=%7D%0A%C3%A9}:exact:60"),
    ],
)
def test_a_key_spells_the_entries(entries: tuple[Entry, ...], key: bytes) -> None:
    """What would end a part of the name is escaped in it."""
    assert descriptor_key("shop", entries, MINUTE) == key


def test_a_key_has_the_window_and_not_the_limit() -> None:
    """Another number of requests goes on with the same counter, another window does not."""
    entries = (Entry("a", "b"),)

    def key(
        unit: Unit, multiplier: int = 1, algorithm: Algorithm = Algorithm.EXACT, n: int = 1
    ) -> bytes:
        limit = DescriptorLimit(
            requests_per_unit=n, unit=unit, multiplier=multiplier, algorithm=algorithm
        )
        return descriptor_key("shop", entries, limit)

    assert key(Unit.MINUTE, n=2) == key(Unit.MINUTE)
    assert key(Unit.MINUTE, 60) == key(Unit.HOUR)
    assert key(Unit.MINUTE, 2) != key(Unit.MINUTE)
    assert key(Unit.MINUTE, algorithm=Algorithm.FIXED) != key(Unit.MINUTE)
