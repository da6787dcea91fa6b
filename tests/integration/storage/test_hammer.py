"""Several processes ask one server for one subject as fast as they can: limits are exact."""

import json
import subprocess
import sys
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest

from authz_service.clock import stopwatch
from tests.conformance.storage.admissions import Admission, most_in_a_window
from tests.conformance.storage.server import Server
from tests.integration.storage.hammer import BY_COST, BY_REQUEST, PLAIN, QUOTA

ROOT = Path(__file__).parents[3]
PROCESSES = 4
SECONDS = 30.0
MIXED_SECONDS = 8.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="compares moments of several processes"
    ),
]


def test_processes_that_hammer_one_subject_get_exactly_its_limit(server: Server) -> None:
    """No window holds more than the limit, the fullest holds it, and no place is withheld."""
    ends_s, admissions = hammered(server, "plain", SECONDS)
    began_s = min(it.sent_s for it in admissions)
    took_s = max(it.received_s for it in admissions) - began_s
    window_s, limit = PLAIN.window_ms / 1000, PLAIN.limit
    # As many admissions cannot be had in less time than their windows take, nor should in more.
    least_s = (ceil(len(admissions) / limit) - 1) * window_s
    told(f"{len(admissions)} admissions in {took_s:.3f} s, possible in {least_s} s")
    assert most_in_a_window(admissions, window_s) == limit
    assert len(admissions) >= 0.99 * limit * (ends_s - began_s) / window_s
    assert least_s >= 0.99 * took_s


def test_processes_that_hammer_several_limits_keep_within_each(server: Server) -> None:
    """Requests of different costs under two rates and a quota: each is kept to the last place."""
    _, admissions = hammered(server, "mixed", MIXED_SECONDS)
    requests = [replace(it, cost=1) for it in admissions]
    told(f"{len(admissions)} admissions of {sum(it.cost for it in admissions)} places")
    assert most_in_a_window(admissions, BY_COST.window_ms / 1000) <= BY_COST.limit
    assert most_in_a_window(requests, BY_REQUEST.window_ms / 1000) == BY_REQUEST.limit
    assert sum(it.cost for it in admissions) == QUOTA.limit
    assert {it.cost for it in admissions} == {1, 2, 3}


def hammered(server: Server, load: str, seconds: float) -> tuple[float, list[Admission]]:
    """When the last request was sent at the latest, and every admission of all processes."""
    ends_s = stopwatch() + seconds
    program = [sys.executable, "-m", "tests.integration.storage.hammer"]
    command = [*program, server.url, load, str(ends_s)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(PROCESSES)
    ]
    printed = [process.communicate(timeout=seconds + 20)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    each = [[Admission(*made) for made in json.loads(text)] for text in printed]
    assert all(each), "a process was admitted nothing at all"
    return ends_s, [admission for made in each for admission in made]


def told(figures: str) -> None:
    """Show figures to whoever runs this with `-s`."""
    sys.stdout.write(f"\n{figures}\n")
