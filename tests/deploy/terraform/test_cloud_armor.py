"""What planned policies mean: which rule decides which request, and what the linter has to say."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy.terraform.workspace import Json, Judge

pytestmark = pytest.mark.deploy

CALM: Json = {
    "ip": "192.0.2.9",
    "method": "GET",
    "path": "/api/v1/images/limits",
    "waf": {},
    "threat": [],
    "over_rate": False,
}
SQLI = {"sqli-v422-stable": {"owasp-crs-v042200-id942100-sqli": 1}}
LOG4SHELL = {"cve-canary": {"owasp-crs-v030001-id044228-cve": 1}}

# What a request is like: the rule that decides it, what the rule does, previews that would refuse.
REQUESTS_TO_EXAMPLE: dict[str, tuple[Json, tuple[int, str, list[int]]]] = {
    "plain": ({}, (2147483000, "allow", [])),
    "from a listed network": ({"ip": "198.51.100.7"}, (1000, "deny(403)", [])),
    "from a listed network, IPv6": ({"ip": "2001:db8::7"}, (1000, "deny(403)", [])),
    "SQL injection, set in preview": ({"waf": SQLI}, (2147483000, "allow", [3001])),
    "Log4Shell, set enforced": ({"waf": LOG4SHELL}, (3000, "deny(403)", [])),
    "both at once": ({"waf": SQLI | LOG4SHELL}, (3000, "deny(403)", [])),
    "a flood": ({"over_rate": True}, (2147483000, "deny(429)", [])),
    "a flood of Log4Shell": ({"over_rate": True, "waf": LOG4SHELL}, (3000, "deny(403)", [])),
    "a flood from a listed network": (
        {"over_rate": True, "ip": "198.51.100.7"},
        (1000, "deny(403)", []),
    ),
    "from Tor, no threat lists": (
        {"threat": ["iplist-tor-exit-nodes"]},
        (2147483000, "allow", []),
    ),
    "a cancelled job": (
        {
            "method": "DELETE",
            "waf": {
                "methodenforcement-v422-stable": {"owasp-crs-v042200-id911100-methodenforcement": 1}
            },
        },
        (2147483000, "allow", []),
    ),
}
REQUESTS_TO_EVERYTHING: dict[str, tuple[Json, tuple[int, str, list[int]]]] = {
    "plain, the rate in preview": ({}, (2147483647, "allow", [])),
    "a flood, the rate in preview": ({"over_rate": True}, (2147483647, "allow", [2147483000])),
    "the last of 25 addresses": ({"ip": "198.51.100.24"}, (1002, "deny(403)", [])),
    "beside the 25 addresses": ({"ip": "198.51.100.25"}, (2147483647, "allow", [])),
    "from a watched network": ({"ip": "2001:db8::7"}, (2147483647, "allow", [1003])),
    "from Tor": ({"threat": ["iplist-tor-exit-nodes"]}, (2001, "deny(403)", [])),
    "from a VPN, in preview": ({"threat": ["iplist-vpn-providers"]}, (2147483647, "allow", [2003])),
    "SQL injection, set enforced": ({"waf": SQLI}, (3001, "deny(403)", [])),
    "a signature that is opted out": (
        {"waf": {"sqli-v422-stable": {"owasp-crs-v042200-id942350-sqli": 1}}},
        (2147483647, "allow", []),
    ),
    "a signature above the sensitivity": (
        {"waf": {"sqli-v422-stable": {"owasp-crs-v042200-id942200-sqli": 2}}},
        (2147483647, "allow", []),
    ),
    "a signature within the sensitivity": (
        {"waf": {"xss-v422-stable": {"owasp-crs-v042200-id941320-xss": 2}}},
        (3002, "deny(403)", []),
    ),
    "the one signature that is opted in": ({"waf": LOG4SHELL}, (3000, "deny(403)", [])),
    "another of its set": (
        {"waf": {"cve-canary": {"owasp-crs-v030001-id144228-cve": 1}}},
        (2147483647, "allow", []),
    ),
    "a cancelled job, methods in preview": (
        {
            "method": "DELETE",
            "waf": {
                "methodenforcement-v422-stable": {"owasp-crs-v042200-id911100-methodenforcement": 1}
            },
        },
        (2147483647, "allow", [3010]),
    ),
}


def decisions(walker: Judge, plan: Json, requests: dict[str, tuple[Json, Any]]) -> dict[str, Any]:
    """What the walker says of every request, under its name."""
    asked = [CALM | differs for differs, _ in requests.values()]
    said = walker.ask({"plan": plan, "requests": asked})
    return dict(zip(requests, map(tuple, said), strict=True))


def test_requests_to_the_example_are_decided_by_the_right_rules(
    walker: Judge, plan_of_example: Json
) -> None:
    """The table above, row by row."""
    expected = {name: decided for name, (_, decided) in REQUESTS_TO_EXAMPLE.items()}

    assert decisions(walker, plan_of_example, REQUESTS_TO_EXAMPLE) == expected


def test_requests_to_a_full_policy_are_decided_by_the_right_rules(
    walker: Judge, plan_of_everything: Json
) -> None:
    """The table above, row by row."""
    expected = {name: decided for name, (_, decided) in REQUESTS_TO_EVERYTHING.items()}

    assert decisions(walker, plan_of_everything, REQUESTS_TO_EVERYTHING) == expected


def test_the_linter_has_nothing_to_say(
    linter: Judge, plan_of_example: Json, plan_of_everything: Json
) -> None:
    """Neither of the example nor of a policy with everything in it."""
    assert linter.ask(plan_of_example) == [[]]
    assert linter.ask(plan_of_everything) == [[]]


def test_every_fault_of_the_first_draft_is_found(plan_of_draft: Json, linter: Judge) -> None:
    """The draft is valid Terraform, and this is what it would have meant."""
    (found,) = linter.ask(plan_of_draft)

    assert [tuple(finding[:2]) for finding in found] == DRAFT_FAULTS


def test_bad_addresses_of_the_first_draft_are_no_addresses(
    plan_of_draft: Json, walker: Judge
) -> None:
    """Its rule against them refuses whoever looks like XSS, from wherever, and nobody else."""
    requests: dict[str, tuple[Json, Any]] = {
        "any address": ({"ip": "198.51.100.7"}, (2000, "allow", [])),
        "XSS": ({"waf": {"xss-stable": {"941100": 1}}}, (1000, "deny(403)", [])),
    }
    expected = {name: decided for name, (_, decided) in requests.items()}

    assert decisions(walker, plan_of_draft, requests) == expected


def test_every_check_of_the_linter_bites(linter: Judge, plan_of_example: Json) -> None:
    """One fault each, put into the plan of the example."""
    resources = plan_of_example["planned_values"]["root_module"]["child_modules"]
    (policy,) = (
        resource
        for module in resources
        for resource in module["resources"]
        if resource["type"] == "google_compute_security_policy"
    )
    faulty = []
    for fault in LINTED.values():
        changed = copy.deepcopy(policy)
        fault(changed["values"])
        faulty.append(changed)

    found = linter.ask({"planned_values": {"root_module": {"resources": faulty}}})
    said = [{code for _, code, _ in findings} for findings in found]
    assert dict(zip(LINTED, said, strict=True)) == {code: {code} for code in LINTED}


def rule(policy: Json, priority: int) -> Json:
    """The rule of this priority."""
    found: Json
    (found,) = (it for it in policy["rule"] if it["priority"] == priority)
    return found


def ask_rule(policy: Json, expression: str) -> None:
    """Let the rule against SQL injection ask something else."""
    rule(policy, 3001)["match"][0]["expr"][0]["expression"] = expression


def ban(policy: Json) -> Json:
    """The options of the rate rule."""
    options: Json = rule(policy, 2147483000)["rate_limit_options"][0]
    return options


LINTED: dict[str, Callable[[Json], object]] = {
    "no-default": lambda it: it["rule"].remove(rule(it, 2147483647)),
    "json": lambda it: it["advanced_options_config"][0].update(json_parsing="DISABLED"),
    "blind-preview": lambda it: it["advanced_options_config"][0].update(log_level="NORMAL"),
    "description": lambda it: rule(it, 3001).update(description="x" * 65),
    "old-function": lambda it: ask_rule(it, "evaluatePreconfiguredExpr('sqli-v422-stable')"),
    "old-rule-set": lambda it: ask_rule(it, "evaluatePreconfiguredWaf('sqli-v42-stable')"),
    "GA201": lambda it: rule(it, 3001).update(action="deny(429)"),
    "ban-key": lambda it: ban(it).update(enforce_on_key=""),
    "ban-threshold": lambda it: ban(it)["ban_threshold"][0].update(interval_sec=30),
    "hidden": lambda it: rule(it, 2147483000).update(priority=2500, preview=True),
    "GA302": lambda it: ask_rule(it, "request.path.matches("),
}

# No JSON parsing; nothing described; an XSS set of long ago, by a function of long ago; a ban that
# has no duration, one key for all, and begins with the first request over the rate.
DRAFT_FAULTS: list[tuple[int, str]] = [
    (-1, "json"),
    (1000, "description"),
    (1000, "old-function"),
    (1000, "old-rule-set"),
    (2000, "GA425"),
    (2000, "ban-key"),
    (2000, "ban-threshold"),
    (2000, "description"),
    (2147483647, "description"),
]
