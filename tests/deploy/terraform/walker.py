"""Which rule of a Cloud Armor policy decides a request.

Rules are walked as the load balancer walks them: by priority, the first enforced match decides, a
match in preview is only told. A line of stdin is a plan and requests, `{"plan": ..., "requests":
[...]}`, a line of stdout the decisions.

What cannot be known here is said by the request: `waf` names signatures that match it, set by set,
with their sensitivities; `threat` the lists that its address is on; `over_rate` whether its key has
used up its rate.
"""

import json
import sys
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import celpy
from celpy.celtypes import BoolType

from tests.deploy.terraform.policy import (
    Json,
    expression,
    in_preview,
    policies,
    ranges,
    rate,
    rules,
)


class Decision(NamedTuple):
    """The rule that decided, what it did, and the rules in preview that would have."""

    priority: int
    action: str
    previewed: list[int]


class Walker:
    """Holds a policy's compiled expressions."""

    def __init__(self, policy: Json) -> None:
        self._rules = rules(policy)
        self._environment = celpy.Environment()

    def decide(self, request: Json) -> Decision:
        """Walk down until a rule decides.

        Raises:
            ValueError: none does: the policy has no default.
        """
        previewed: list[int] = []
        for rule in self._rules:
            priority = int(rule["priority"])
            action = _outcome(rule, request)
            if not self._matches(rule, request):
                continue
            if not in_preview(rule):
                return Decision(priority, action, previewed)
            if action != "allow":
                previewed.append(priority)
        raise ValueError("no rule decides this request")

    def _matches(self, rule: Json, request: Json) -> bool:
        asked = expression(rule)
        if not asked:
            address = ip_address(request["ip"])
            return any(it == "*" or address in ip_network(it) for it in ranges(rule))
        program = self._environment.program(
            self._environment.compile(asked), functions=_functions(request)
        )
        facts = {
            "origin": {"ip": request["ip"]},
            "request": {"method": request["method"], "path": request["path"]},
        }
        return bool(program.evaluate({name: celpy.json_to_cel(it) for name, it in facts.items()}))


def _outcome(rule: Json, request: Json) -> str:
    """What a rule does with a request that it matches: a rate rule looks at the rate."""
    options = rate(rule)
    if not options:
        return str(rule["action"])
    return str(options["exceed_action"] if request["over_rate"] else options["conform_action"])


def _functions(request: Json) -> dict[str, Callable[..., Any]]:
    def waf(name: Any, options: Any) -> Any:  # noqa: ANN401 - types of CEL
        chosen = json.loads(json.dumps(options, cls=celpy.CELJSONEncoder))
        return BoolType(
            any(
                signature in chosen.get("opt_in_rule_ids", [])
                or (
                    0 < sensitivity <= chosen["sensitivity"]
                    and signature not in chosen.get("opt_out_rule_ids", [])
                )
                for signature, sensitivity in request["waf"].get(str(name), {}).items()
            )
        )

    def threat(name: Any) -> Any:  # noqa: ANN401
        return BoolType(str(name) in request["threat"])

    def old_waf(name: Any) -> Any:  # noqa: ANN401
        return BoolType(bool(request["waf"].get(str(name))))

    return {
        "evaluatePreconfiguredWaf": waf,
        "evaluatePreconfiguredExpr": old_waf,
        "evaluateThreatIntelligence": threat,
    }


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        (planned,) = policies(asked["plan"])
        walker = Walker(planned)
        decided = [walker.decide(request) for request in asked["requests"]]
        print(json.dumps(decided), flush=True)  # noqa: T201
