"""Limit files and an Envoy that a team brings along: they mean here what they meant before."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from authz_service.clock import SystemClock
from tests.e2e.foreign import LIMITS, Foreign, foreign
from tests.e2e.processes import eventually
from tests.e2e.traffic import traffic

# The supervisor and both workers.
PROCESSES: Final = 3
YEAR_S: Final = 365 * 86_400
FOLLOWED_WITHIN_S: Final = 5.0  # half a second, and patience with a busy machine


@pytest.fixture(scope="module", params=["native", pytest.param("grpcio", marks=pytest.mark.slow)])
def started(request: pytest.FixtureRequest) -> Iterator[Foreign]:
    """One set-up for all of these tests; each counts under values of its own."""
    with foreign(AUTHZ_GRPC_SERVER=request.param) as running:
        yield running


@pytest.fixture
def shop(started: Foreign) -> Iterator[Foreign]:
    """The set-up, with its first limits in force before and after."""
    yield started
    if started.limit_of("probe") != {"5"} or started.metric("authz_ratelimit_files_failed"):
        started.mount(LIMITS)
        soon(lambda: started.limit_of("probe") == {"5"})
        soon(lambda: not started.metric("authz_ratelimit_files_failed"))


def test_a_limit_holds_exactly_for_each_value(shop: Foreign) -> None:
    """Five requests of a user pass and the sixth is a 429; another user has five of his own."""
    assert shop.statuses(7, x_user="ann") == [200] * 5 + [429] * 2
    assert shop.statuses(1, x_user="bob") == [200]


def test_nested_descriptors_count_where_the_last_key_leads(shop: Foreign) -> None:
    """A path with a limit of its own has it, every other path the one for all, one each."""
    assert shop.statuses(3, "/reports", x_plan="free") == [200] * 2 + [429]
    assert shop.statuses(5, "/orders", x_plan="free") == [200] * 4 + [429]
    assert shop.statuses(1, "/carts", x_plan="free") == [200]


def test_callers_are_told_apart_by_address(shop: Foreign) -> None:
    """A generic key and the remote address: each address has three tries to log in."""
    replies = [shop.client.get("/login", source="127.0.1.1").status for _ in range(4)]
    assert replies == [200] * 3 + [429]
    assert shop.client.get("/login", source="127.0.1.2").status == 200


def test_a_descriptor_may_come_from_dynamic_metadata(shop: Foreign) -> None:
    """What another filter of the team's Envoy found out is counted by."""
    assert shop.statuses(3, x_tenant="acme") == [200] * 2 + [429]
    assert shop.statuses(1, x_tenant="globex") == [200]


def test_a_limit_that_envoy_brings_along_takes_the_place_of_the_files(shop: Foreign) -> None:
    """The file says a hundred, the filter's metadata two: two pass."""
    assert shop.statuses(3, "/guest", x_user="eve") == [200] * 2 + [429]


def test_shadow_mode_never_refuses(shop: Foreign) -> None:
    """A limit of one in shadow: four requests pass, and the answers tell that none is left."""
    replies = [shop.client.get("/", [("x-mode", "shadow")]) for _ in range(4)]

    assert [reply.status for reply in replies] == [200] * 4
    assert [reply.header("x-left") for reply in replies] == ["0"] * 4


def test_a_quota_pair_refuses_only_together(shop: Foreign) -> None:
    """One of two limits in quota mode is used up after one request, the other after three."""
    pair = {"x_first": "pair", "x_second": "pair"}
    assert shop.statuses(5, **pair) == [200] * 3 + [429] * 2
    assert shop.statuses(2, x_first="alone") == [200, 429]


def test_fixed_windows_refuse_as_well(shop: Foreign) -> None:
    """Three pass in a window that begins with the clock, and the fourth waits for its end."""
    assert shop.statuses(4, x_mode="fixed") == [200] * 3 + [429]

    refused = shop.client.get("/", [("x-mode", "fixed")])
    until_it_ends = YEAR_S - SystemClock().now_ms() // 1000 % YEAR_S
    assert refused.status == 429
    assert 0 <= int(refused.header("x-reset")) - until_it_ends <= 5


def test_a_limit_of_nothing_refuses_everybody(shop: Foreign) -> None:
    """Without `requests_per_unit` the first request is refused."""
    assert shop.statuses(1, x_mode="banned") == [429]


@pytest.mark.parametrize("user", ["staff", "exempt"], ids=["unlimited", "without a limit"])
def test_some_users_are_never_refused(shop: Foreign, user: str) -> None:
    """Who is unlimited, and who is named without a limit: no refusal, and no limit is told."""
    replies = [shop.client.get("/", [("x-user", user)]) for _ in range(8)]

    assert [reply.status for reply in replies] == [200] * 8
    assert not any(reply.values("x-limit") for reply in replies)


def test_a_value_without_rule_passes(shop: Foreign) -> None:
    """A plan that no descriptor names, and a mode likewise."""
    assert shop.statuses(6, "/reports", x_plan="gold") == [200] * 6
    assert shop.statuses(6, x_mode="unheard-of") == [200] * 6


def test_clients_see_the_headers_of_their_limit(shop: Foreign) -> None:
    """By the names of the setting, on what passes and on what is refused; there with a wait."""
    replies = [shop.client.get("/", [("x-user", "headers")]) for _ in range(6)]

    assert {reply.header("x-limit") for reply in replies} == {"5"}
    assert [reply.header("x-left") for reply in replies] == ["4", "3", "2", "1", "0", "0"]
    day = range(86_400 - 60, 86_400 + 1)
    assert all(int(reply.header("x-reset")) in day for reply in replies)
    assert int(replies[-1].header("retry-after")) in day
    assert not any(reply.values("retry-after") for reply in replies[:-1])


def test_workers_share_their_counters(shop: Foreign) -> None:
    """Forty requests at once on a limit of ten, over both workers: exactly ten pass."""
    before = shop.asked_of_workers()

    with ThreadPoolExecutor(40) as pool:
        futures = [pool.submit(shop.statuses, 1, x_user="crowd") for _ in range(40)]
        statuses = [status for future in futures for status in future.result()]

    assert sorted(statuses) == [200] * 10 + [429] * 30
    asked = [now - then for now, then in zip(shop.asked_of_workers(), before, strict=True)]
    assert sum(asked) == 40
    assert min(asked) >= 10, asked


@pytest.mark.parametrize("put", [Foreign.write, Foreign.swap], ids=["rename", "ConfigMap"])
def test_a_changed_file_holds_and_no_request_is_lost(
    shop: Foreign, put: Callable[[Foreign, str], None]
) -> None:
    """Both workers go by the new limit, and steady traffic is a 200 throughout."""
    with traffic(shop.client.port, path="/", headers={"x-user": "steady"}) as flowing:
        eventually(lambda: flowing.outcomes["200"] > 20)
        put(shop, limits(user=7))
        soon(lambda: shop.limit_of("probe") == {"7"})
        asked = flowing.outcomes["200"]
        eventually(lambda: flowing.outcomes["200"] > asked + 20)

    assert set(flowing.outcomes) == {"200"}, flowing.outcomes
    soon(lambda: shop.limit_of("probe") == {"7"})  # now that nobody else takes turns
    assert shop.statuses(9, x_user=f"late-{put.__name__}") == [200] * 7 + [429] * 2


def test_a_bad_file_keeps_the_last_good_limits(shop: Foreign) -> None:
    """It is told by every process in the words teams watch for; mended, it is followed again."""
    told_before = len(shop.refusals())

    shop.swap(limits(user=8).replace("rate_limit:", "ratelimit:", 1))
    soon(lambda: len(shop.refusals()) == told_before + PROCESSES)

    assert (
        shop.refusals()[told_before:]
        == [["shop.yaml: config error, unknown key 'ratelimit'"]] * PROCESSES
    )
    soon(lambda: shop.metric("authz_ratelimit_files_failed") == 1)
    assert shop.limit_of("probe") == {"5"}
    shop.swap(limits(user=9))
    soon(lambda: shop.limit_of("probe") == {"9"})
    soon(lambda: shop.metric("authz_ratelimit_files_failed") == 0)


def limits(*, user: int) -> str:
    """The limits with another one for every user."""
    changed = LIMITS.replace("requests_per_unit: 5}", f"requests_per_unit: {user}}}", 1)
    assert changed != LIMITS
    return changed


def soon(is_so: Callable[[], bool]) -> None:
    """Wait until a change is in force."""
    eventually(is_so, within_s=FOLLOWED_WITHIN_S)
