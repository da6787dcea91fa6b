"""The rules of Cloud Armor policies in a plan, as Terraform shows it in JSON."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

DEFAULT_PRIORITY: Final = 2_147_483_647

Json = Mapping[str, Any]


def policies(plan: Json) -> list[Json]:
    """The planned policies, of the root module and those it calls."""
    return [
        resource["values"]
        for resource in _resources(plan["planned_values"]["root_module"])
        if resource["type"] == "google_compute_security_policy"
    ]


def rules(policy: Json) -> list[Json]:
    """Its rules as Cloud Armor looks at them: by priority."""
    return sorted(policy["rule"], key=lambda rule: int(rule["priority"]))


def expression(rule: Json) -> str:
    """What a rule asks; empty where it compares addresses."""
    (match,) = rule["match"]
    return str(match["expr"][0]["expression"]) if match["expr"] else ""


def ranges(rule: Json) -> list[str]:
    """The addresses that a rule compares with; `*` is all of them."""
    (match,) = rule["match"]
    return list(match["config"][0]["src_ip_ranges"]) if match["config"] else []


def in_preview(rule: Json) -> bool:
    """Whether a rule only tells. Unset, the provider says no, but not before it is applied."""
    return bool(rule.get("preview"))


def rate(rule: Json) -> Json:
    """The options of a rate rule; empty for any other."""
    return dict(rule["rate_limit_options"][0]) if rule["rate_limit_options"] else {}


def _resources(module: Json) -> Iterator[Json]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)
