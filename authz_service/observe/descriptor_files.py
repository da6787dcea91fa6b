"""Whether the newest descriptor files are those that count, since when, and how much is in them."""

from math import nan
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

RULES_GAUGE: Final = "authz_ratelimit_rules_loaded"
FILES_AGE_GAUGE: Final = "authz_ratelimit_files_last_success_timestamp_seconds"


class DescriptorFiles:
    """Where there is no folder of such files, the age and the number of limits have no number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failed = Gauge(
            "authz_ratelimit_files_failed",
            "1 while the newest descriptor files are refused; the greatest over workers.",
            registry=registry,
        )
        self._rules = Gauge(
            RULES_GAUGE,
            "Limits of the descriptor files in effect; the least over workers.",
            registry=registry,
        )
        self._last_success = Gauge(
            FILES_AGE_GAUGE,
            "When the descriptor files in effect were read; the least over workers.",
            registry=registry,
        )
        self._rules.set(nan)
        self._last_success.set(nan)

    def loaded(self, limits: int, *, at_ms: int) -> None:
        """So many limits took effect. `at_ms` is wall-clock milliseconds since the Unix epoch."""
        self._failed.set(0)
        self._rules.set(limits)
        self._last_success.set(at_ms / 1000)

    def refused(self) -> None:
        """The newest files are not fit for use; those before them stay in effect."""
        self._failed.set(1)
