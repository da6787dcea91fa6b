"""The bounds of histograms of answers: one set, so that they can be laid over each other."""

from typing import Final

BUCKETS_SECONDS: Final = (
    *(0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25),  # Envoy waits no longer for a check
)
