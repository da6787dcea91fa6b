"""The fields of a decision's line."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from authz_service.core.decision_line import decision_line, is_sampled
from authz_service.core.identity import Identity, Method
from authz_service.core.meter import Metered, Reading
from authz_service.core.respond import Outcome, abandoned, respond
from authz_service.core.rules import Charge
from authz_service.core.verdict import Allow, Deny, OverLimit, Reason, Shadow, Verdict
from authz_service.testing.builders import PlantedSecrets, facts, quota, rate, route

ROUTE = route("upscale")
CALLER = Identity(subject="key:acme", tier="free", method=Method.API_KEY, key_id="key-1")
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPENT = Metered(
    admitted=False,
    readings=(
        Reading(Charge(rate(10), 1), 0, 59_001, 30_000),
        Reading(Charge(quota(500), 1), 480, 7_000, 0),
    ),
)
LIMITS = [
    {"name": "per-minute", "limit": 10, "remaining": 0, "reset_seconds": 60},
    {"name": "per-day", "limit": 500, "remaining": 480, "reset_seconds": 7},
]
ASKED = facts(method="POST", path="/upscale", query="a=1", cloud_trace=f"{TRACE}/1")


def answered(verdict: Verdict) -> Outcome:
    """The answer to a verdict."""
    return respond(
        verdict, tiers={}, accepts_tokens=False, request_id="request-1", decision_id="decision-1"
    )


def line(outcome: Outcome, *, share: float = 1) -> Mapping[str, object]:
    """Its line."""
    return decision_line(ASKED, outcome, duration_s=0.001_26, share=share)


def test_a_refusal_says_who_asked_for_what_and_what_was_left() -> None:
    """Every field of a line, in the order in which people read them."""
    told = line(answered(OverLimit(ROUTE, CALLER, SPENT)), share=0.5)
    assert json.dumps(told) == json.dumps(
        {
            "decision_id": "decision-1",
            "request_id": "request-1",
            "trace_id": TRACE,
            "route": "upscale",
            "decision": "over_limit",
            "reason": "rate_limited",
            "tier": "free",
            "subject": "key:acme",
            "key_id": "key-1",
            "auth_method": "api_key",
            "method": "POST",
            "path": "/upscale",
            "status_code": 429,
            "limits": LIMITS,
            "duration_ms": 1.3,
            "sample_rate": 0.5,
        }
    )


def test_what_is_not_known_is_left_out() -> None:
    """No route, no caller, no trace, no share: no field."""
    told = decision_line(facts(), answered(Deny(Reason.NO_ROUTE)), duration_s=0, share=1)
    assert told == {
        "decision_id": "decision-1",
        "request_id": "request-1",
        "decision": "deny",
        "reason": "no_route",
        "method": "GET",
        "path": "/v1/things",
        "status_code": 403,
        "duration_ms": 0.0,
    }


def test_a_line_of_a_route_in_shadow_says_what_would_have_been() -> None:
    """The request passed, and its line has the limits that would have refused it."""
    told = line(answered(Shadow(OverLimit(ROUTE, CALLER, SPENT), ROUTE, CALLER)))
    assert (told["decision"], told["reason"]) == ("allow", "ok")
    assert (told["shadow_decision"], told["shadow_reason"]) == ("over_limit", "rate_limited")
    assert told["limits"] == LIMITS
    assert "status_code" not in told


def test_a_check_that_nobody_waited_for_is_no_answer() -> None:
    """It has a caller, as far as known, and no status."""
    told = line(abandoned(ROUTE, CALLER, decision_id="decision-1"))
    assert (told["decision"], told["reason"]) == ("abandoned", "cancelled")
    assert (told["route"], told["subject"]) == ("upscale", "key:acme")
    assert "status_code" not in told


def test_no_credential_is_in_a_line(planted_secrets: PlantedSecrets) -> None:
    """Neither of a header nor of the query."""
    asked = facts(
        query=f"api_key={planted_secrets.api_key}",
        api_keys=(planted_secrets.api_key.encode(),),
        authorizations=(f"Bearer {planted_secrets.token}".encode(),),
    )
    told = decision_line(asked, answered(Allow(ROUTE, CALLER, None)), duration_s=0, share=1)
    assert planted_secrets.found_in(json.dumps(told)) == []


@pytest.mark.parametrize("letter", ["/", '"', "\\", "\x7f", "\xff", "\u20ac", "\U0001f600"])
def test_a_line_is_not_torn_apart(letter: str) -> None:
    """What a client chooses freely is cut, so that the whole stays within 4 KiB of JSON."""
    of_bytes = letter.encode("latin-1", "replace").decode("latin-1")
    long = replace(
        ASKED, method=letter * 9_999, path="/" + letter * 9_999, request_id=of_bytes * 9_999
    )
    told = decision_line(long, answered(Allow(ROUTE, CALLER, SPENT)), duration_s=0, share=1)
    assert len(json.dumps(told)) < 4_096


def test_a_path_is_written_as_it_was_sent() -> None:
    """Nothing of a usual one is encoded, and nothing is encoded twice."""
    path = "/a-b_c.d~e/%2F:@!$&'()*+,;=/\u00e9"
    told = decision_line(
        replace(ASKED, path=path),
        answered(Deny(Reason.NO_ROUTE)),
        duration_s=0,
        share=1,
    )
    assert told["path"] == path.replace("\u00e9", "%C3%A9")


@pytest.mark.parametrize("share", [0.01, 0.25, 0.9])
def test_a_share_of_decisions_is_what_it_says(share: float) -> None:
    """Of consecutive ids, as a worker gives them; within a tenth of it over 100,000."""
    ids = [f"0123456789ab-{number:x}" for number in range(100_000)]
    assert sum(is_sampled(it, share) for it in ids) == pytest.approx(share * 100_000, rel=0.1)


def test_a_share_is_part_of_a_larger_one() -> None:
    """All of them are in 1, none is in 0, and every one that is in 0.1 is in 0.2."""
    ids = [f"id-{number}" for number in range(1_000)]
    assert all(is_sampled(it, 1) and not is_sampled(it, 0) for it in ids)
    assert all(is_sampled(it, 0.2) for it in ids if is_sampled(it, 0.1))
