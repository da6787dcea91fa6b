"""The text of rules."""

from authz_service.descriptors.dump import dump
from authz_service.testing.descriptors import read_descriptors

LIMIT = "rate_limit: {unit: day}"
NESTED = f"{{key: a, descriptors: [{{key: b, {LIMIT}}}]}}"
DOTTED = "{key: a.b, rate_limit: {unit: hour}}"


def test_equal_rules_have_one_text() -> None:
    """In whatever order they were read, also where names with dots in them look alike."""
    one, other = (
        read_descriptors(f"domain: shop\ndescriptors: [{', '.join(parts)}]")
        for parts in ((NESTED, DOTTED), (DOTTED, NESTED))
    )
    assert one.digest == other.digest
    assert dump(one) == dump(other)
    assert dump(one) == (
        "shop.a.b: unit=DAY requests_per_unit=0, shadow_mode: false, quota_mode: false\n"
        "shop.a.b: unit=HOUR requests_per_unit=0, shadow_mode: false, quota_mode: false\n"
    )
