"""The names under which descriptors are counted."""

import pytest

from authz_service.core.descriptor_key import descriptor_subject
from authz_service.core.descriptors import Entry


@pytest.mark.parametrize(
    ("entries", "subject"),
    [
        ((Entry("a", "b"),), "descriptor:shop,a=b"),
        ((Entry("a", "b"), Entry("c", "")), "descriptor:shop,a=b,c="),
        ((Entry("a", "x=y,z*"),), "descriptor:shop,a=x%3Dy%2Cz%2A"),
        ((Entry("a", "a_*", is_pattern=True),), "descriptor:shop,a*=a_%2A"),
        ((Entry("k", "}\n\u00e9"),), "descriptor:shop,k=%7D%0A%C3%A9"),
    ],
)
def test_a_name_spells_the_entries(entries: tuple[Entry, ...], subject: str) -> None:
    """What would end a part of the name is escaped in it."""
    assert descriptor_subject("shop", entries) == subject


def test_a_domain_cannot_imitate_an_entry() -> None:
    """Its separators are escaped as well."""
    assert descriptor_subject("shop,a=b", ()) != descriptor_subject("shop", (Entry("a", "b"),))
