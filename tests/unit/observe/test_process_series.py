"""What a process takes of the machine."""

import resource
from pathlib import Path

import pytest

from authz_service.observe.exposition import Encoder
from authz_service.observe.merge import Merger
from authz_service.observe.metrics import GAUGE_RULES
from authz_service.observe.process_series import Process, ProcessSeries

PAGE = resource.getpagesize()


def text(process: Process, statm: Path) -> bytes:
    """One exposition."""
    return Encoder().encode(ProcessSeries(process, statm=statm).collect())


def merged(*texts: bytes) -> dict[str, float]:
    """What a scrape shows of several processes."""
    merger = Merger(GAUGE_RULES)
    for number, each in enumerate(texts):
        merger.update(str(number), each)
    return {
        f"{sample.name} {sample.labels['process']}": sample.value
        for family in merger.families()
        for sample in family.samples
    }


@pytest.fixture
def statm(tmp_path: Path) -> Path:
    """As the kernel writes it: size, resident, shared and more, in pages."""
    file = tmp_path / "statm"
    file.write_text("900 30 20 1 0 100 0\n", "ascii")
    return file


def test_memory_is_added_up_by_kind_of_process(statm: Path) -> None:
    """Two workers have twice what one has; the supervisor is shown apart."""
    shown = merged(
        text(Process.WORKER, statm), text(Process.WORKER, statm), text(Process.SUPERVISOR, statm)
    )
    memory = "authz_process_resident_memory_bytes"
    assert shown[f"{memory} worker"] == 60 * PAGE
    assert shown[f"{memory} supervisor"] == 30 * PAGE


def test_where_the_kernel_does_not_tell_memory_there_is_no_number(tmp_path: Path) -> None:
    """Nor a series without one; processor time is told all the same."""
    shown = merged(text(Process.WORKER, tmp_path / "absent"))
    assert list(shown) == ["authz_process_cpu_seconds_total worker"]


def test_processor_time_is_that_of_user_and_system_mode(
    statm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added up, and over workers."""
    used = list(resource.getrusage(resource.RUSAGE_SELF))
    used[:2] = [1.5, 0.25]
    monkeypatch.setattr(
        resource, "getrusage", {resource.RUSAGE_SELF: resource.struct_rusage(used)}.get
    )
    one = text(Process.WORKER, statm)
    assert merged(one, one)["authz_process_cpu_seconds_total worker"] == 3.5
