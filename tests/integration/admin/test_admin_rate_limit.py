"""The rules of descriptor files over HTTP."""

from authz_service.testing.descriptors import read_descriptors
from tests.integration.admin.api import Api

PATH = "/v1/ratelimit/rules"
FILE = """
domain: shop
descriptors:
  - {key: user, shadow_mode: true, rate_limit: {unit: minute, requests_per_unit: 3}}
  - {key: caf\u00e9, rate_limit: {unlimited: true}}
"""


async def test_the_rules_in_force_are_shown_as_text(api: Api) -> None:
    """A line for each, sorted, and their digest; other rules are shown as soon as they hold."""
    rules = api.rules = read_descriptors(FILE)
    answer = await api.ask("GET", PATH)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert answer.headers["ETag"] == f'"{rules.digest}"'
    assert answer.body.decode() == (
        "shop.caf\u00e9: unit=UNKNOWN requests_per_unit=0, shadow_mode: false, quota_mode: false\n"
        "shop.user: unit=MINUTE requests_per_unit=3, shadow_mode: true, quota_mode: false\n"
    )

    api.rules = read_descriptors("domain: other")
    answer = await api.ask("GET", PATH)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["ETag"] == f'"{api.rules.digest}"'


async def test_rules_that_the_newest_files_do_not_change_say_so(api: Api) -> None:
    """The last good ones are shown, and that the files on disk are refused."""
    api.rules = read_descriptors(FILE)
    states = []
    for api.rules_are_newest in (True, False):
        answer = await api.ask("GET", PATH)
        assert (answer.status, answer.headers["ETag"]) == (200, f'"{api.rules.digest}"')
        states.append(answer.headers["X-Newest-Files"])
    assert states == ["in force", "refused"]


async def test_without_files_there_are_no_rules(api: Api) -> None:
    """404 in the form of all errors."""
    answer = await api.ask("GET", PATH)
    assert answer.status == 404
    assert answer.json["error"]["code"] == "NOT_FOUND"
    assert answer.json["error"]["message"] == "There are no rate limit files."


async def test_the_rules_are_not_for_everyone(api: Api) -> None:
    """401 without the token, and nothing changes them."""
    api.rules = read_descriptors(FILE)
    answer = await api.ask_bare("GET", PATH)
    assert (answer.status, b"shop" in answer.body) == (401, False)
    assert (await api.ask("DELETE", PATH)).status == 405
