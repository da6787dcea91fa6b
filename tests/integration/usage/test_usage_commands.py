"""`usage show` and `usage reset` against a real store, beside a service that counts there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.clock import SystemClock
from authz_service.core.descriptor_hits import hits_of
from authz_service.core.resolve import Resolution, resolve
from authz_service.core.rules import Charge
from authz_service.policy.sources import load_policy
from authz_service.storage.from_url import store_from_url
from authz_service.testing.descriptors import asking, descriptor, read_descriptors
from tests.conformance.storage.server import VALKEY, Server

POLICY = """
version: 1
tiers:
  free: {rate: 10/minute, quota: 500/day, max_upload: 1MB}
  large: {rate: 10000/minute, max_upload: 1MB}
upstream: {address: "127.0.0.1:8080"}
routes:
  - name: things
    match: {method: GET, path: /v1/things}
    limits: [{name: reads, rate: 9/hour}]
    global_limits: [{name: total, rate: 600/hour}]
"""
RULES = """
domain: shop
descriptors:
  - {key: user, rate_limit: {unit: hour, requests_per_unit: 9}}
  - {key: page, rate_limit: {unit: day, requests_per_unit: 4, algorithm: fixed}}
  - {key: mass, rate_limit: {unit: minute, requests_per_unit: 5000}}
  - {key: ip, value: 10.*, share_threshold: true, rate_limit: {unit: hour, requests_per_unit: 7}}
"""
KEY = "sk-of-acme"
REQUEST = ["--path", "/v1/things", "-H", f"X-API-Key: {KEY}"]
FREE = "per-minute  10/minute", "per-day     500/day  ", "reads       9/hour   "


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A Valkey."""
    with Server(VALKEY) as server:
        yield server


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """The policy of these tests."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return file


@pytest.fixture
async def charged(server: Server, policy_file: Path) -> Server:
    """A store in which two subjects have used three of everything."""
    server.admin.flushall()
    charges = load_policy(policy_file, {}).routes[0].charges["free"]
    store = store_from_url(server.url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=5_000)
    for subject in ("key:acme", "anon:203.0.113.7"):
        for _ in range(3):
            await store.charge(subject, charges)
    await store.close()
    return server


def run(policy_file: Path, url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in an environment of its own."""
    keys = [{"key": KEY, "name": "Acme", "tier": "free", "id": "acme"}]
    return subprocess.run(
        [sys.executable, "-m", "authz_service", *arguments],
        env={
            "AUTHZ_POLICY_FILE": str(policy_file),
            "REDIS_URL": url,
            "API_KEYS": json.dumps(keys),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def usage(policy_file: Path, url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `usage` with one of its verbs."""
    return run(policy_file, url, "usage", *arguments)


def left(policy_file: Path, server: Server, subject: str) -> dict[str, int]:
    """What `show` tells machines is left, by limit."""
    done = usage(policy_file, server.url, "show", subject, "--tier", "free", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["subject"], told["tier"]) == (subject, "free")
    return {limit["name"]: limit["remaining"] for limit in told["limits"]}


async def test_show_tells_every_limit_and_counts_nothing(
    charged: Server, policy_file: Path
) -> None:
    """The same each time it is asked, for people and for machines; untouched limits are full."""
    for _ in range(2):
        assert left(policy_file, charged, "key:acme") == {
            "per-minute": 7,
            "per-day": 497,
            "reads": 6,
        }
    done = usage(policy_file, charged.url, "show", "key:acme", "--tier", "free")
    lines = done.stdout.splitlines()
    assert [line[:21] for line in lines] == [f"{limit:<21}" for limit in FREE]
    assert [line.split("  reset in ")[0].split()[-2] for line in lines] == ["7", "497", "6"]
    assert all("  reset in " in line for line in lines)
    done = usage(policy_file, charged.url, "show", "key:new", "--tier", "free")
    assert [line.split()[-2:] for line in done.stdout.splitlines()] == [
        ["10", "left"],
        ["500", "left"],
        ["9", "left"],
    ]


async def test_a_limit_is_told_whole_to_machines(charged: Server, policy_file: Path) -> None:
    """Rates with their window, quotas with their period and time zone."""
    done = usage(policy_file, charged.url, "show", "key:acme", "--tier", "free", "--json")
    minute, day, _ = json.loads(done.stdout)["limits"]
    assert 0 < minute.pop("reset_seconds") <= 60
    assert 0 < day.pop("reset_seconds") <= 86_400
    assert minute == {
        "name": "per-minute",
        "kind": "rate",
        "window_seconds": 60,
        "limit": 10,
        "remaining": 7,
    }
    assert day == {
        "name": "per-day",
        "kind": "quota",
        "period": "day",
        "time_zone": "UTC",
        "limit": 500,
        "remaining": 497,
    }


async def test_reset_frees_one_subject_and_leaves_an_audit_line(
    charged: Server, policy_file: Path
) -> None:
    """Every limit of the policy; the line says who did what to whom."""
    done = usage(policy_file, charged.url, "reset", "key:acme")
    assert done.returncode == 0
    assert done.stdout == "key:acme starts anew with per-minute, per-day, reads\n"
    audit = json.loads(done.stderr)
    assert audit["actor"].startswith("cli:")
    assert {name: audit[name] for name in ("severity", "message", "subject", "limits")} == {
        "severity": "INFO",
        "message": "counters reset",
        "subject": "key:acme",
        "limits": ["per-minute", "per-day", "reads"],
    }
    assert left(policy_file, charged, "key:acme") == {"per-minute": 10, "per-day": 500, "reads": 9}
    neighbour = left(policy_file, charged, "anon:203.0.113.7")
    assert neighbour == {"per-minute": 7, "per-day": 497, "reads": 6}


async def test_a_large_rate_is_shown_and_reset_like_any_other(
    charged: Server, policy_file: Path
) -> None:
    """Whoever had a small one under the same name before starts anew with both, told once."""
    store = store_from_url(charged.url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=5_000)
    await store.charge("key:acme", load_policy(policy_file, {}).routes[0].charges["large"])
    await store.close()
    show = ["show", "key:acme", "--tier", "large"]
    assert "10000/minute  9999 left" in usage(policy_file, charged.url, *show).stdout
    done = usage(policy_file, charged.url, "reset", "key:acme", "--limit", "per-minute")
    assert done.stdout == "key:acme starts anew with per-minute\n"
    assert "10000/minute  10000 left" in usage(policy_file, charged.url, *show).stdout
    assert left(policy_file, charged, "key:acme")["per-minute"] == 10


async def test_reset_of_one_limit_leaves_the_others(charged: Server, policy_file: Path) -> None:
    """Named as the policy and the headers name it."""
    done = usage(policy_file, charged.url, "reset", "key:acme", "--limit", "per-day")
    assert done.returncode == 0
    assert left(policy_file, charged, "key:acme") == {"per-minute": 7, "per-day": 500, "reads": 6}


@pytest.mark.parametrize("verb", [("show", "key:a", "--tier", "free"), ("reset", "key:a")])
def test_a_store_that_is_not_there_is_told(policy_file: Path, verb: tuple[str, ...]) -> None:
    """Exit code 1, and one line that says what could not be reached."""
    done = usage(policy_file, "unix:///nowhere/store", *verb)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: unix:///nowhere/store cannot be reached")


async def test_explain_sees_what_was_counted_and_counts_nothing(
    charged: Server, policy_file: Path
) -> None:
    """With the service's own store it tells what is left of it, and leaves it so."""
    for _ in range(2):
        done = run(policy_file, charged.url, "explain", "--json", *REQUEST)
        assert (done.returncode, done.stderr) == (0, "")
        limits = json.loads(done.stdout)["limits"]
        figures = {limit["name"]: (limit["before"], limit["after"]) for limit in limits}
        assert figures == {"per-minute": (7, 6), "per-day": (497, 496), "reads": (6, 5)}


def test_explain_does_not_guess_what_it_cannot_see(policy_file: Path) -> None:
    """A store that does not answer is exit code 1, not an answer that the service may not give."""
    done = run(policy_file, "unix:///nowhere/store", "explain", *REQUEST)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the counters cannot be seen: unix:///nowhere/store ")


async def test_a_name_with_a_hostile_form_is_a_name(charged: Server, policy_file: Path) -> None:
    """No subject reaches another's counters, whatever stands in it."""
    for subject in ("key:acme}:rate:per-minute", "key:*", "key:acme\n"):
        assert usage(policy_file, charged.url, "reset", subject).returncode == 0
    assert left(policy_file, charged, "key:acme")["per-minute"] == 7


async def test_limits_over_all_callers_are_shown_and_reset(
    charged: Server, policy_file: Path
) -> None:
    """They are of no tier; callers keep what they have."""
    store = store_from_url(charged.url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=5_000)
    (limit,) = load_policy(policy_file, {}).routes[0].global_limits
    await store.charge("global", (Charge(limit, 2),))
    await store.charge("global", (Charge(limit, 1),))
    await store.close()
    done = usage(policy_file, charged.url, "show", "global")
    assert done.stdout.startswith("total  600/hour  597 left  reset in ")
    told = json.loads(usage(policy_file, charged.url, "show", "global", "--json").stdout)
    assert (told["subject"], "tier" in told) == ("global", False)
    done = usage(policy_file, charged.url, "reset", "global")
    assert (done.returncode, done.stdout) == (0, "global starts anew with total\n")
    assert json.loads(done.stderr)["subject"] == "global"
    assert "600 left" in usage(policy_file, charged.url, "show", "global").stdout
    assert left(policy_file, charged, "key:acme") == {"per-minute": 7, "per-day": 497, "reads": 6}


class Counters:
    """The counters of descriptors: asked as a worker asks, and by the commands."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.environment = {"AUTHZ_RATELIMIT_DIR": str(folder), "REDIS_URL": server.url}
        (folder / "shop.yaml").write_text(RULES, encoding="utf-8")

    async def hit(self, *entries: tuple[str, str]) -> None:
        """Count one request with a descriptor for each entry."""
        request = asking(*(descriptor(entry) for entry in entries))
        resolution = resolve(read_descriptors(RULES), request)
        assert isinstance(resolution, Resolution)
        hits = hits_of("shop", resolution.resolved, all_quota=False)
        store = store_from_url(
            self.server.url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=5_000
        )
        await store.hit(tuple(hit for hit in hits if hit))
        await store.close()

    def run(
        self, verb: str, *asked: str, flags: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """A command of `usage` about descriptors."""
        descriptors = [part for it in asked for part in ("--descriptor", it)]
        return subprocess.run(
            [
                *(sys.executable, "-m", "authz_service", "usage", f"{verb}-descriptors"),
                *("--domain", "shop", *descriptors, *flags),
            ],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )


async def test_descriptors_are_shown_and_reset_as_they_are_asked_about(
    server: Server, tmp_path: Path
) -> None:
    """Sliding, fixed, large and shared counters; looking counts nothing, others are left alone."""
    server.admin.flushall()
    counters = Counters(server, tmp_path)
    for user in ("ann", "bob"):
        await counters.hit(("user", user), ("page", "/"), ("mass", "x"), ("ip", "10.0.0.1"))
    asked = ("user=ann", "page=/", "mass=x", "ip=10.9.9.9")

    for _ in range(2):
        done = counters.run("show", *asked, "user=new", "no=rule")
        assert (done.returncode, done.stderr) == (0, "")
        cells = [re.split(" {2,}", line)[:3] for line in done.stdout.splitlines()]
        assert cells == [
            ["user=ann", "9/hour", "8 left"],
            ["page=/", "4/day", "2 left"],
            ["mass=x", "5000/minute", "4998 left"],
            ["ip=10.9.9.9", "7/hour", "5 left"],
            ["user=new", "9/hour", "9 left"],
            ["no=rule", "no counter"],
        ]
    done = counters.run("reset", *asked, "no=rule")
    assert done.returncode == 0
    told = [*(f"{it} starts anew" for it in asked), "no=rule has no counter"]
    assert done.stdout.splitlines() == told
    audit = [json.loads(line) for line in done.stderr.splitlines()]
    assert {it["message"] for it in audit} == {"counters reset"}
    assert audit[0]["subject"] == "descriptor:shop,user=ann"

    shown = counters.run("show", *asked, "user=bob").stdout
    assert re.findall(r"(\d+) left", shown) == ["9", "4", "5000", "7", "8"]


async def test_a_counter_of_descriptors_is_told_whole_to_machines(
    server: Server, tmp_path: Path
) -> None:
    """With what it is counted under; a descriptor without one has nothing to tell."""
    server.admin.flushall()
    counters = Counters(server, tmp_path)
    await counters.hit(("page", "/"))
    told = json.loads(counters.run("show", "page=/", "no=rule", flags=("--json",)).stdout)
    assert 0 < told["descriptors"][0].pop("reset_seconds") <= 86_400
    assert told == {
        "domain": "shop",
        "descriptors": [
            {
                "descriptor": "page=/",
                "subject": "descriptor:shop,page=/",
                "algorithm": "fixed",
                "window_seconds": 86_400,
                "limit": 4,
                "remaining": 3,
            },
            {"descriptor": "no=rule"},
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize("servers", ["cluster", "sentinels"])
async def test_usage_is_shown_and_reset_wherever_it_is_counted(
    request: pytest.FixtureRequest, servers: str, policy_file: Path
) -> None:
    """On the node that serves the subject, or on the primary that sentinels name."""
    url: str = request.getfixturevalue(servers).url
    charges = load_policy(policy_file, {}).routes[0].charges["free"]
    store = store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=5_000)
    for subject in ("key:a", "key:b"):
        await store.charge(subject, charges)
        done = usage(policy_file, url, "show", subject, "--tier", "free", "--json")
        assert [it["remaining"] for it in json.loads(done.stdout)["limits"]] == [9, 499, 8]
        assert usage(policy_file, url, "reset", subject).returncode == 0
        after = await store.peek(subject, charges)
        assert [reading.remaining for reading in after.readings] == [10, 500, 9]
    await store.close()
