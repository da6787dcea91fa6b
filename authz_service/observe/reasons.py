"""A counter whose one label says why, for what a single process counts and others expose."""

from enum import StrEnum
from typing import Generic, TypeVar

from prometheus_client import Counter
from prometheus_client.registry import Collector

Reason = TypeVar("Reason", bound=StrEnum)


class Reasons(Generic[Reason]):
    """So often for each reason.

    Every reason is there from the start: an increase from nothing would not show.
    """

    def __init__(self, name: str, documentation: str, reasons: type[Reason]) -> None:
        self._counter = Counter(name, documentation, ("reason",), registry=None)
        self._counts = {reason: self._counter.labels(reason.value) for reason in reasons}

    @property
    def collector(self) -> Collector:
        """The series to expose."""
        return self._counter

    def count(self, reason: Reason) -> None:
        """Once more, for this reason."""
        self._counts[reason].inc()
