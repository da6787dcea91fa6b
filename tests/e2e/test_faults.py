"""A worker is killed, hangs or is restarted while clients go on: what they see of it.

Every test sends steady traffic through Envoy and counts what came back.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from tests.e2e.processes import eventually, sidecar, workers
from tests.e2e.stack import Stack, default_policy_with_extra_tiers, running
from tests.e2e.traffic import Traffic, traffic

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="finds the processes in /proc"
)
LIMITS = "/api/v1/images/limits"
KEY = "key-of-steady-traffic"
BACK_WITHIN_S = 5.0  # 0.1 s of back-off and the start of a Python program, on a busy machine
REPLACED_WITHIN_S = 12.0  # five seconds without an answer, and the same


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy of the other tests, and a tier that steady traffic does not exhaust."""
    rules = default_policy_with_extra_tiers()
    rules["tiers"]["steady"] = {"rate": "1000/second", "max_upload": "64KiB"}
    file = tmp_path_factory.mktemp("faults") / "policy.yaml"
    file.write_text(yaml.safe_dump(rules), "utf-8")
    return file


@pytest.fixture(scope="module", params=["native", pytest.param("grpcio", marks=pytest.mark.slow)])
def stack(policy: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack whose workers a test may break, but not five of them."""
    with running(**environment(policy), AUTHZ_GRPC_SERVER=request.param) as started:
        yield started


def test_clients_see_nothing_of_a_worker_that_ends(stack: Stack) -> None:
    """One worker is killed, the other asked to stop: nothing is lost."""
    before = len(deaths(stack))
    with steady(stack) as flowing:
        replace(stack, 0, signal.SIGKILL, within_s=BACK_WITHIN_S)
        replace(stack, 1, signal.SIGTERM, within_s=BACK_WITHIN_S)

    assert flowing.was_answered, flowing.outcomes
    assert flowing.outcomes["200"] > 200
    assert deaths(stack)[before:] == ["worker 0 was killed by SIGKILL", "worker 1 exited with 0"]


@pytest.mark.slow
def test_a_hanging_worker_is_replaced(stack: Stack) -> None:
    """SIGSTOP: the checks it holds end as 503, all others are answered, and it is killed."""
    with steady(stack) as flowing:
        replace(stack, 0, signal.SIGSTOP, within_s=REPLACED_WITHIN_S)

    assert set(flowing.outcomes) <= {"200", "503"}
    assert flowing.outcomes["503"] < 40
    assert flowing.outcomes["200"] > 400
    assert any('"worker hangs"' in line for line in stack.output)


def test_five_deaths_end_the_stack_with_one_clear_line(policy: Path) -> None:
    """A worker that dies again and again is no accident: exit code 1, and who says so."""
    with running(**environment(policy)) as stack:
        supervisor, killed = sidecar(stack.process.pid), set[int]()
        for _ in range(5):
            victim = eventually(lambda: next(iter(set(workers(supervisor).values()) - killed), 0))
            killed.add(victim)
            os.kill(victim, signal.SIGKILL)
        code = stack.wait()

    assert code == 1
    errors = [line for line in stack.output if line.startswith("error: ")]
    assert len(errors) == 2
    assert errors[0].startswith("error: 5 workers died within 30 s, the last one: worker ")
    assert errors[1] == "error: authz_service exited with 1"


def environment(policy: Path) -> dict[str, str]:
    """A policy, and the key of steady traffic."""
    keys = [{"key": KEY, "name": "steady", "tier": "steady"}]
    return {"AUTHZ_POLICY_FILE": str(policy), "API_KEYS": json.dumps(keys)}


def deaths(stack: Stack) -> list[str]:
    """How each worker ended that has."""
    return [json.loads(line)["death"] for line in stack.output if '"worker died"' in line]


def steady(stack: Stack) -> AbstractContextManager[Traffic]:
    """Traffic that no limit stops."""
    return traffic(stack.client.port, path=LIMITS, headers={"X-API-Key": KEY})


def replace(stack: Stack, index: int, number: signal.Signals, *, within_s: float) -> None:
    """Strike a worker, and wait until Envoy trusts the one in its place."""
    supervisor = sidecar(stack.process.pid)
    victim = workers(supervisor)[index]
    os.kill(victim, number)
    eventually(lambda: workers(supervisor).get(index, victim) != victim, within_s=within_s)
    eventually(lambda: all_serve(stack), within_s=within_s)
    eventually(lambda: all_trusted(stack), within_s=within_s)


def all_serve(stack: Stack) -> bool:
    """Whether the sidecar counts every worker as serving."""
    serving: dict[str, int] = stack.operations.get("/readyz").json()["details"]["workers"]
    return serving == {"serving": 2, "of": 2}


def all_trusted(stack: Stack) -> bool:
    """Whether Envoy sends checks to every worker: none is unhealthy, none is ejected."""
    metrics = stack.scrape.get("/metrics").body
    return (
        b'envoy_cluster_membership_healthy{envoy_cluster_name="authz"} 2\n' in metrics
        and b'envoy_cluster_outlier_detection_ejections_active{envoy_cluster_name="authz"} 0\n'
        in metrics
    )
