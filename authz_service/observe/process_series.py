"""What one process takes of the machine, read when somebody asks for it."""

import resource
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

MEMORY_GAUGE: Final = "authz_process_resident_memory_bytes"

_STATM: Final = Path("/proc/self/statm")


class Process(StrEnum):
    """The kinds of processes of the sidecar, as the label `process` names them."""

    SUPERVISOR = "supervisor"
    WORKER = "worker"


class ProcessSeries(Collector):
    """Processor time and memory of this process, without its children.

    `statm` is where the kernel tells the memory (proc(5)); where it does not, there is no number.
    """

    def __init__(self, process: Process, *, statm: Path = _STATM) -> None:
        self._process = process
        self._statm = statm

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        label = (self._process.value,)
        seconds = CounterMetricFamily(
            "authz_process_cpu_seconds",
            "Processor time in user and system mode; dead workers included.",
            labels=("process",),
        )
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds.add_metric(label, used.ru_utime + used.ru_stime)
        yield seconds
        resident = _resident_bytes(self._statm)
        if resident is None:
            return
        memory = GaugeMetricFamily(
            MEMORY_GAUGE, "Resident memory; the sum over workers.", labels=("process",)
        )
        memory.add_metric(label, resident)
        yield memory


def _resident_bytes(statm: Path) -> int | None:
    try:
        _, resident_pages, *_ = statm.read_text("ascii").split()
    except OSError:
        return None
    return int(resident_pages) * resource.getpagesize()
