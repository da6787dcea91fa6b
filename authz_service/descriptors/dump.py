"""The rules of descriptor files as text, in the form that dumps of the other service have."""

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.descriptors import DescriptorLimit


def sorted_limits(rules: DescriptorRules) -> list[tuple[str, DescriptorLimit]]:
    """Every limit under its full name, by name. Equal rules come in the same order."""
    return sorted(rules.limits(), key=lambda named: (named[0], _line(*named)))


def dump(rules: DescriptorRules) -> str:
    """A line for each limit."""
    return "".join(f"{_line(name, limit)}\n" for name, limit in sorted_limits(rules))


def _line(name: str, limit: DescriptorLimit) -> str:
    """A limit in the words of the service that the files come from, which has no multiplier."""
    unit = limit.unit.name if limit.unit else "UNKNOWN"
    more = f" unit_multiplier={limit.multiplier}" if limit.multiplier > 1 else ""
    return (
        f"{name}: unit={unit}{more} requests_per_unit={limit.requests_per_unit},"
        f" shadow_mode: {_flag(said=limit.shadow)}, quota_mode: {_flag(said=limit.quota)}"
    )


def _flag(*, said: bool) -> str:
    return "true" if said else "false"
