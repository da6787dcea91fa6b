"""What is wrong with the Cloud Armor policies of plans: a line of findings for each line of stdin.

    terraform show -json FILE | .venv-deploy/bin/python -m tests.deploy.terraform.linter

`octorules-google` knows the rules' language and the API's limits. The checks here know what it does
not: versions of rule sets, rules that decide nothing or everything, and what a preview hides.
"""

import json
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tests.deploy.terraform.policy import (
    DEFAULT_PRIORITY,
    Json,
    expression,
    in_preview,
    policies,
    ranges,
    rate,
    rules,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # of a library's, about this Python's last day
    from octorules_google.validate import validate_rules

WAF_SETS: Final = frozenset(
    f"{name}-v422-{channel}"
    for name in (
        *("sqli", "xss", "lfi", "rfi", "rce", "protocolattack", "scannerdetection"),
        *("sessionfixation", "generic", "methodenforcement", "php", "java"),
    )
    for channel in ("stable", "canary")
) | {"cve-canary"}

_MAX_DESCRIPTION: Final = 64
_LEAST_BAN_INTERVAL_S: Final = 60
_CALL: Final = re.compile(r"(evaluatePreconfigured\w+)\('([^']*)'")

# Findings of the library that are none, each with its reason.
_EXPLAINED: Final = {
    "GA103": "`hidden` says the same",
    "GA301": "`*` stands for all addresses",
    "GA601": "a rate rule and the default match everything: that is what they are for",
    "GA600": "a rule in preview decides nothing: the walker shows it",
    "GA303": "the list above is exact, and newer",
    "GA503": "addresses of documentation are in examples",
}


class Finding(NamedTuple):
    """A fault of a rule; priority -1 is the policy as a whole."""

    priority: int
    code: str
    text: str


def lint(policy: Json) -> list[Finding]:
    """Every fault, those of the whole policy first."""
    ordered = rules(policy)
    found = [*_whole(policy, ordered), *_hidden(ordered), *_library(ordered)]
    for rule in ordered:
        priority = int(rule["priority"])
        found += [Finding(priority, code, text) for code, text in _rule(rule)]
    return sorted(found)


def _whole(policy: Json, ordered: list[Json]) -> Iterator[Finding]:
    if not ordered or int(ordered[-1]["priority"]) != DEFAULT_PRIORITY:
        yield Finding(-1, "no-default", f"no rule of priority {DEFAULT_PRIORITY}")
    options = (policy["advanced_options_config"] or [{}])[0]
    if options.get("json_parsing") != "STANDARD":
        yield Finding(-1, "json", "JSON bodies are looked at as plain text: json_parsing")
    if options.get("log_level") != "VERBOSE" and any(in_preview(rule) for rule in ordered):
        yield Finding(-1, "blind-preview", "log lines do not say what a preview matched: log_level")


def _hidden(ordered: list[Json]) -> Iterator[Finding]:
    """Rules that lie below one that decides every request, whether or not that is in preview."""
    decides: int | None = None
    for rule in ordered:
        priority = int(rule["priority"])
        if decides is not None and priority != DEFAULT_PRIORITY:
            text = f"{decides} decides every request: this rule is never looked at"
            yield Finding(priority, "hidden", text)
        if decides is None and "*" in ranges(rule):
            decides = priority


def _rule(rule: Json) -> Iterator[tuple[str, str]]:
    description = rule["description"] or ""
    if not description:
        yield "description", "nothing says what the rule is for"
    if len(description) > _MAX_DESCRIPTION:
        yield "description", f"a description has {_MAX_DESCRIPTION} characters at most"
    for function, name in _CALL.findall(expression(rule)):
        if function != "evaluatePreconfiguredWaf":
            yield "old-function", f"{function} takes no sensitivity: use evaluatePreconfiguredWaf"
        if name not in WAF_SETS:
            yield "old-rule-set", f"{name} is no set of CRS 4.22"
    if rule["action"] == "rate_based_ban":
        yield from _ban(rate(rule))


def _ban(options: Json) -> Iterator[tuple[str, str]]:
    key = options.get("enforce_on_key") or "ALL"
    if key == "ALL" and not options.get("enforce_on_key_configs"):
        yield "ban-key", "one key for all: one client bans everybody"
    if not options.get("ban_threshold"):
        yield "ban-threshold", "the first request over the rate begins the ban"
    elif options["ban_threshold"][0]["interval_sec"] < _LEAST_BAN_INTERVAL_S:
        yield "ban-threshold", "the API refuses intervals of 10 and 30 seconds here"


def _library(ordered: list[Json]) -> Iterator[Finding]:
    given = [_as_library(rule) for rule in ordered if int(rule["priority"]) != DEFAULT_PRIORITY]
    for result in validate_rules(given, phase="google.custom_rules"):
        if result.rule_id == "GA301" and "'*'" not in result.message:
            yield Finding(int(result.ref), result.rule_id, result.message)
        elif result.rule_id not in _EXPLAINED:
            yield Finding(int(result.ref or -1), result.rule_id, result.message)


def _as_library(rule: Json) -> dict[str, Any]:
    (match,) = rule["match"]
    out = {
        "ref": str(int(rule["priority"])),
        "action": rule["action"],
        "description": rule["description"] or "",
        "match": {"expr": {"expression": expression(rule)}},
    }
    if not match["expr"]:
        config = {"src_ip_ranges": ranges(rule)}
        out["match"] = {"versioned_expr": match["versioned_expr"], "config": config}
    if in_preview(rule):
        out["preview"] = True
    options = {name: value for name, value in rate(rule).items() if value not in (None, [], "")}
    for block in options.keys() & {"rate_limit_threshold", "ban_threshold"}:
        options[block] = options[block][0]
    return out | ({"rate_limit_options": options} if options else {})


if __name__ == "__main__":
    for line in sys.stdin:
        found = [lint(policy) for policy in policies(json.loads(line))]
        print(json.dumps(found), flush=True)  # noqa: T201
