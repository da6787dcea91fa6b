"""What callers have used, over HTTP: looked at, and taken back."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from authz_service.core.rules import Charge
from authz_service.testing.builders import quota, rate
from authz_service.testing.stores import Fault
from tests.integration.admin.api import Api
from tests.unit.identity.key_admins import stored

TAKEN = (Charge(rate(10), 3), Charge(quota(500), 3))
SHOWN = {
    "subject": "key:acme",
    "tier": "free",
    "limits": [
        {
            "name": "per-minute",
            "kind": "rate",
            "window_seconds": 60,
            "limit": 10,
            "remaining": 7,
            "reset_seconds": 60,
        },
        {
            "name": "per-day",
            "kind": "quota",
            "period": "day",
            "time_zone": "UTC",
            "limit": 500,
            "remaining": 497,
            "reset_seconds": 22_400,
        },
        {
            "name": "burst",
            "kind": "rate",
            "window_seconds": 10,
            "limit": 5,
            "remaining": 5,
            "reset_seconds": 0,
        },
    ],
}


async def test_what_a_subject_has_left_is_shown_and_stays(api: Api) -> None:
    """Every limit of its tier and of the routes; looking takes nothing."""
    await api.counters.charge("key:acme", TAKEN)
    answers = [await api.ask("GET", "/v1/usage/key:acme?tier=free") for _ in range(2)]
    for answer in answers:
        assert answer.status == 200
        assert answer.json == SHOWN


async def test_what_a_key_has_left_is_that_of_its_subject(api: Api) -> None:
    """With the key's own tier, and its own limits in place of the tier's."""
    api.it.store.put(replace(stored("a"), subject="acme", tier="free", rate="4/minute"))
    await api.counters.charge("key:acme", TAKEN)
    answer = await api.ask("GET", "/v1/keys/a/usage")
    assert (answer.json["subject"], answer.json["tier"]) == ("key:acme", "free")
    assert answer.json["limits"][0] | {"limit": 4, "remaining": 1} == answer.json["limits"][0]


@pytest.mark.parametrize("path", ["/v1/usage/key:acme", "/v1/keys/a/usage"])
async def test_counters_start_anew(api: Api, path: str) -> None:
    """One by its name, or all of the subject; others stay, and the log says who did it."""
    api.it.store.put(replace(stored("a"), subject="acme", tier="free"))
    for subject in ("key:acme", "key:other"):
        await api.counters.charge(subject, TAKEN)

    with capture_logs() as logs:
        assert (await api.ask("DELETE", f"{path}?limit=per-minute")).status == 204
    left = (await api.ask("GET", "/v1/usage/key:acme?tier=free")).json["limits"]
    assert [limit["remaining"] for limit in left] == [10, 497, 5]
    assert [(it["event"], it["actor"], it["subject"], it["limits"]) for it in logs] == [
        ("counters reset", "admin-api", "key:acme", ["per-minute"])
    ]

    assert (await api.ask("DELETE", path)).status == 204
    left = (await api.ask("GET", "/v1/usage/key:acme?tier=free")).json["limits"]
    assert [limit["remaining"] for limit in left] == [10, 500, 5]
    other = (await api.ask("GET", "/v1/usage/key:other?tier=free")).json["limits"]
    assert [limit["remaining"] for limit in other] == [7, 497, 5]


@pytest.mark.parametrize(
    ("method", "path", "problem"),
    [
        ("GET", "/v1/usage/key:acme", {"field": "tier", "message": "must be one of free, pro"}),
        (
            "GET",
            "/v1/usage/key:acme?tier=x",
            {"field": "tier", "message": "must be one of free, pro"},
        ),
        (
            "GET",
            "/v1/usage/acme?tier=free",
            {
                "field": "",
                "message": "the subject must begin with one of key:, jwt:, anon:, or be global",
            },
        ),
        (
            "GET",
            "/v1/usage/key:a?tier=free&tier=pro",
            {"field": "", "message": "the query may have tier, once each"},
        ),
        (
            "DELETE",
            "/v1/usage/key:a?limit=per-century",
            {"field": "limit", "message": "must be one of per-minute, per-day, burst"},
        ),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(
    api: Api, method: str, path: str, problem: dict[str, str]
) -> None:
    """422 with the place and the words that would do."""
    answer = await api.ask(method, path)
    assert answer.status == 422
    assert answer.json["error"]["details"]["errors"] == [problem]


async def test_a_key_that_is_not_there_has_no_usage(api: Api) -> None:
    """404, whatever was counted."""
    for method in ("GET", "DELETE"):
        assert (await api.ask(method, "/v1/keys/nobody/usage")).status == 404


async def test_a_counter_store_that_is_away_is_503(api: Api) -> None:
    """To be tried again; nothing is guessed."""
    api.counters.fault = Fault.FAILING
    for method, path in (
        ("GET", "/v1/usage/key:acme?tier=free"),
        ("DELETE", "/v1/usage/key:acme"),
    ):
        answer = await api.ask(method, path)
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"


async def test_limits_over_all_callers_are_shown_and_start_anew(api: Api) -> None:
    """Under the one subject that is nobody's; no caller's limit is among them."""
    total = rate(600, name="total")
    await api.counters.charge("global", (Charge(total, 5),))
    await api.counters.charge("key:acme", TAKEN)
    shown = await api.ask("GET", "/v1/usage/global")
    assert (shown.status, shown.json["subject"], "tier" in shown.json) == (200, "global", False)
    assert [(it["name"], it["remaining"]) for it in shown.json["limits"]] == [("total", 595)]

    for query in ("tier=free", "limit=total"):
        assert (await api.ask("GET", f"/v1/usage/global?{query}")).status == 422
    assert (await api.ask("DELETE", "/v1/usage/global?limit=per-minute")).status == 422
    with capture_logs() as logs:
        assert (await api.ask("DELETE", "/v1/usage/global?limit=total")).status == 204
    assert [(it["subject"], it["limits"]) for it in logs] == [("global", ["total"])]
    left = (await api.ask("GET", "/v1/usage/global")).json["limits"]
    assert [it["remaining"] for it in left] == [600]
    of_caller = (await api.ask("GET", "/v1/usage/key:acme?tier=free")).json["limits"]
    assert [it["remaining"] for it in of_caller] == [7, 497, 5]
