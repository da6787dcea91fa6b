"""Stage 3, how much is left: the arithmetic of limits, one definition for every store."""

from dataclasses import dataclass

from authz_service.core.rules import Charge


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit as a request found it, after the charge if the request was admitted.

    `remaining` is what is left. `reset_ms` is the time until the oldest counted admission leaves
    the window (a quota: until its period ends), 0 when nothing is counted. `retry_after_ms` is
    how long the same charge must wait for this limit to admit it, 0 when it would admit now.
    """

    charge: Charge
    remaining: int
    reset_ms: int
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Metered:
    """The answer for all limits of one request together."""

    admitted: bool
    readings: tuple[Reading, ...]
