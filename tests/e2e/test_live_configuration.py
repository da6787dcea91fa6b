"""Policy and keys change while clients go on: both sides follow, and nobody is dropped."""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from authz_service.policy.sources import load_policy
from tests.e2e.client import Headers, Reply
from tests.e2e.processes import eventually, sidecar, workers
from tests.e2e.stack import Stack, default_policy, running
from tests.e2e.traffic import Traffic, traffic

LIMITS = "/api/v1/images/limits"
STEADY, MEMBER = "key-of-steady-traffic", "key-of-a-member"
CANARY = "canary-in-the-keys"
FOLLOWED_WITHIN_S: Final = 3.0  # half a second, and patience with a busy machine

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="finds the processes in /proc"
)

Rules = dict[str, Any]


@dataclass(frozen=True)
class Live:
    """A stack whose files a test changes."""

    stack: Stack
    folder: Path

    @property
    def policy(self) -> Path:
        """The policy file."""
        return self.folder / "policy.yaml"

    @property
    def keys(self) -> Path:
        """The key file."""
        return self.folder / "keys.yaml"

    def get(self, path: str, headers: Headers = (("X-API-Key", MEMBER),)) -> Reply:
        """A GET through Envoy."""
        return self.stack.client.get(path, headers)

    def write(self, **changes: object) -> None:
        """Put a policy with changes in the place of the present one, by a rename."""
        rename_into(self.policy, as_yaml(rules(**changes)))

    def soon(self, is_so: Callable[[], bool]) -> None:
        """Wait until a change is in force."""
        eventually(is_so, within_s=FOLLOWED_WITHIN_S)

    def refusals(self) -> list[list[str]]:
        """The problems that each process told, time after time."""
        lines = [line for line in self.stack.output if '"configuration not in force' in line]
        return [json.loads(line)["problems"] for line in lines]

    def steady(self) -> AbstractContextManager[Traffic]:
        """Traffic that no limit stops."""
        return traffic(self.stack.client.port, path=LIMITS, headers={"X-API-Key": STEADY})


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One stack for all of these tests; each leaves the files as it finds them."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "policy.yaml").write_text(as_yaml(rules()), "utf-8")
    (folder / "keys.yaml").write_text(as_yaml(keys()), "utf-8")
    with running(
        AUTHZ_POLICY_FILE=str(folder / "policy.yaml"),
        AUTHZ_KEYS_FILE=str(folder / "keys.yaml"),
        API_KEYS="[]",
    ) as stack:
        yield Live(stack, folder)


@pytest.fixture
def live(started: Live) -> Iterator[Live]:
    """The stack, with its first files in force before and after."""
    yield started
    rename_into(started.policy, as_yaml(rules()))
    rename_into(started.keys, as_yaml(keys()))
    eventually(lambda: in_force(started))


def test_a_changed_limit_holds_from_then_on(live: Live) -> None:
    """A tier's rate: the next answers name the new one."""
    live.write(tiers=tiers(member={"rate": "7/minute", "max_upload": "1MB"}))

    live.soon(lambda: in_force(live))
    assert live.get(LIMITS).header("ratelimit-policy") == '"per-minute";q=7;w=60'


def test_routes_come_and_go(live: Live) -> None:
    """A new route is found and asked about by its name; without it, it is a 404 again."""
    new = {"name": "new", "match": {"method": "GET", "path": "/new"}, "authentication": "required"}

    live.write(routes=[*rules()["routes"], new])
    live.soon(lambda: in_force(live) and live.get("/new", ()).status == 401)
    assert live.get("/new").json()["error"]["code"] == "NOT_FOUND"  # the application's own
    live.write()

    live.soon(lambda: live.get("/new", ()).status == 404)


def test_a_new_tier_and_its_key_come_together(live: Live) -> None:
    """A key of a tier that is not there yet is refused with its line; then the tier comes."""
    gold = {"name": "gold", "tier": "gold", "key_sha256": sha256("key-of-gold")}
    before = len(live.refusals())

    rename_into(live.keys, as_yaml([*keys(), gold]))
    live.soon(lambda: len(live.refusals()) >= before + 3)
    assert live.get(LIMITS).status == 200
    live.write(tiers=tiers(gold={"rate": "9/minute", "max_upload": "3MB"}))

    live.soon(lambda: in_force(live))
    assert live.get(LIMITS, [("X-API-Key", "key-of-gold")]).json()["max_file_bytes"] == 3 << 20


def test_a_bad_policy_is_told_with_every_problem_and_changes_nothing(live: Live) -> None:
    """Each process logs all of it, readiness says so and stays ready; a good file recovers."""
    before = len(live.refusals())

    live.write(trusted_hops=-1, include=[], routes=[])
    live.soon(lambda: len(live.refusals()) >= before + 3)

    assert all(
        [problem.split(": ", 1)[1].split(":")[0] for problem in told] == ["trusted_hops", "routes"]
        for told in live.refusals()[before:]
    )
    ready = live.stack.operations.get("/readyz")
    assert (ready.status, len(ready.json()["details"]["refused"])) == (200, 2)
    assert live.get(LIMITS).status == 200

    live.write(tiers=tiers(member={"rate": "8/minute", "max_upload": "1MB"}))
    live.soon(lambda: in_force(live))
    assert live.stack.operations.get("/readyz").json()["details"]["refused"] == []


def test_keys_come_and_go_and_bad_ones_are_never_shown(live: Live) -> None:
    """A new key works, a removed one does not; a bad file keeps the old ones, a secret its own."""
    entry = {"name": "new", "tier": "member", "key_sha256": sha256("key-of-somebody-new")}
    new = [("X-API-Key", "key-of-somebody-new")]

    rename_into(live.keys, as_yaml([*keys(), entry]))
    live.soon(lambda: keys_everywhere(live) == len(keys()) + 1)
    assert live.get(LIMITS, new).status == 200
    before = len(live.refusals())
    bad = [*keys(), {"name": "bad", "tier": "member", "key": f"{CANARY} {CANARY}", CANARY: CANARY}]
    rename_into(live.keys, as_yaml(bad))
    live.soon(lambda: len(live.refusals()) >= before + 3)
    assert live.get(LIMITS, new).status == 200

    rename_into(live.keys, as_yaml(keys()))
    live.soon(lambda: live.get(LIMITS, new).status == 401)
    assert CANARY not in "\n".join(live.stack.output)


@linux_only
@pytest.mark.slow  # several starts of a worker that cannot
def test_a_worker_that_dies_while_the_policy_is_bad_comes_back_with_a_good_one(live: Live) -> None:
    """It cannot start, the other goes on with the last good policy, and nobody gives up."""
    supervisor = sidecar(live.stack.process.pid)
    with live.steady() as flowing:
        live.write(routes=[])
        victim = workers(supervisor)[0]
        os.kill(victim, signal.SIGKILL)
        for _ in range(2):
            victim = next_worker(supervisor, 0, after=victim)
        live.write()
        eventually(lambda: in_force(live) and all_serve(live))

    assert flowing.was_answered, flowing.outcomes
    assert flowing.outcomes["200"] > 300


@pytest.mark.parametrize("way", ["rename", "in place", "symbolic links", "fragment"])
def test_however_a_file_is_changed_it_is_followed(live: Live, way: str) -> None:
    """As editors do it, as `cp` does it, as Kubernetes does it, and in a fragment."""
    changed = tiers(member={"rate": "6/minute", "max_upload": "1MB"})

    WAYS[way](live, changed)

    live.soon(lambda: in_force(live))
    assert live.get(LIMITS).header("ratelimit-policy") == '"per-minute";q=6;w=60'


@pytest.mark.slow  # twenty changes, each waited for
def test_nobody_is_dropped_by_twenty_changes_good_and_bad(live: Live) -> None:
    """Routes, tiers and keys change under steady traffic: every request is a 200."""
    with live.steady() as flowing:
        for number in range(20):
            broken = {"trusted_hops": -1} if number % 4 == 3 else {}
            member = {"rate": f"{number + 10}/minute", "max_upload": f"{number + 1}MB"}
            live.write(tiers=tiers(member=member), **broken)
            if not broken:
                live.soon(lambda: in_force(live))
        eventually(lambda: flowing.outcomes["200"] > 300)

    assert flowing.was_answered, flowing.outcomes


def rewrite(live: Live, changed: Rules) -> None:
    """Into the file itself, which is empty for a moment."""
    live.policy.write_text(as_yaml(rules(tiers=changed)), "utf-8")


def rename(live: Live, changed: Rules) -> None:
    """A new file in the place of the old one."""
    rename_into(live.policy, as_yaml(rules(tiers=changed)))


def swap_links(live: Live, changed: Rules) -> None:
    """As a mounted ConfigMap: the file is a link through `..data`, which is renamed over."""
    for version, text in (("1", as_yaml(rules())), ("2", as_yaml(rules(tiers=changed)))):
        (live.folder / f"..{version}").mkdir(exist_ok=True)
        (live.folder / f"..{version}" / "policy.yaml").write_text(text, "utf-8")
        link_to(live.folder / "..data", f"..{version}")
        if version == "1":
            link_to(live.policy, "..data/policy.yaml")
            live.soon(lambda: in_force(live))


def include(live: Live, changed: Rules) -> None:
    """The tier stands in a fragment, and only the fragment changes."""
    fragment = live.folder / "more.yaml"
    rename_into(fragment, as_yaml({"tiers": {"member": rules()["tiers"]["member"]}}))
    live.write(include=["more.yaml"], tiers=tiers(member=None))
    live.soon(lambda: in_force(live))
    rename_into(fragment, as_yaml({"tiers": {"member": changed["member"]}}))


WAYS: Mapping[str, Callable[[Live, Rules], None]] = {
    "rename": rename,
    "in place": rewrite,
    "symbolic links": swap_links,
    "fragment": include,
}


def rules(**changes: object) -> Rules:
    """The image service's policy with two tiers of these tests, and changes of the moment."""
    return default_policy() | {"tiers": tiers()} | changes


def tiers(**changes: object) -> Rules:
    """The tiers; None leaves one out."""
    plain = {
        "anonymous": {"rate": "5/minute", "max_upload": "64KiB"},
        "steady": {"rate": "1000/second", "max_upload": "64KiB"},
        "member": {"rate": "900/minute", "max_upload": "2MB"},
    }
    return {name: tier for name, tier in (plain | changes).items() if tier is not None}


def keys() -> list[Rules]:
    """The entries of the key file: no key stands in it."""
    return [
        {"name": tier, "tier": tier, "key_sha256": sha256(key)}
        for tier, key in (("steady", STEADY), ("member", MEMBER))
    ]


def sha256(key: str) -> str:
    """What a key file holds in place of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def next_worker(supervisor: int, index: int, *, after: int) -> int:
    """The process that is started in the place of another one."""
    eventually(lambda: workers(supervisor).get(index, after) != after)
    return workers(supervisor)[index]


def all_serve(live: Live) -> bool:
    """Whether every worker has begun to serve."""
    found: dict[str, int] = live.stack.operations.get("/readyz").json()["details"]["workers"]
    return found == {"serving": 2, "of": 2}


def in_force(live: Live) -> bool:
    """Whether the supervisor and every worker decide by the policy that is in the file."""
    digest = load_policy(live.policy, {}).digest
    if live.stack.operations.get("/readyz").json()["details"]["policy"] != digest:
        return False
    metrics = live.stack.operations.get("/metrics").body.decode()
    told = [line for line in metrics.splitlines() if line.startswith("authz_policy_info{")]
    return told == [f'authz_policy_info{{digest="{digest}"}} 1.0']


def keys_everywhere(live: Live) -> int:
    """How many keys the worker with the fewest knows."""
    metrics = live.stack.operations.get("/metrics").body.decode()
    (line,) = [it for it in metrics.splitlines() if it.startswith("authz_keys_loaded ")]
    return int(float(line.split()[1]))


def rename_into(file: Path, text: str) -> None:
    """Write beside the file and rename, as most editors do."""
    temporary = file.with_name("new")
    temporary.write_text(text, "utf-8")
    temporary.replace(file)


def link_to(link: Path, target: str) -> None:
    """Make a symbolic link, in the place of what was there."""
    temporary = link.with_name("new")
    temporary.symlink_to(target)
    temporary.replace(link)


def as_yaml(document: object) -> str:
    """The text of a file."""
    return yaml.safe_dump(document, sort_keys=False)
