"""What clients know of admissions: each happened at some moment while its request was under way."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

RESOLUTION_S: Final = 0.001
"""Stores count in whole milliseconds: two admissions a window apart may be this much closer."""


@dataclass(frozen=True, slots=True)
class Admission:
    """`cost` places were taken, not before `sent_s` and not after `received_s`."""

    sent_s: float
    received_s: float
    cost: int = 1


def most_in_a_window(admissions: Iterable[Admission], window_s: float) -> int:
    """The most places that were certainly taken within one window.

    An admission lies in a window for certain when it was asked for and told within it, so this is
    never more than what was taken, and is that but for the time that requests take.
    """
    ordered = sorted(admissions, key=lambda it: it.sent_s)
    most = 0
    for index, first in enumerate(ordered):
        ends_s = first.sent_s + window_s - RESOLUTION_S
        taken = 0
        for later in ordered[index:]:
            if later.sent_s >= ends_s:
                break
            if later.received_s < ends_s:
                taken += later.cost
        most = max(most, taken)
    return most
