"""The series about descriptor files."""

from authz_service.observe.descriptor_files import DescriptorFiles
from authz_service.observe.metrics import Metrics


def test_refused_files_are_told_until_good_ones_come() -> None:
    """1 while the last good rules stand in for the newest files, else 0."""
    metrics, files = Metrics(), DescriptorFiles()
    metrics.register(files.collector)
    told = []
    for refused in (None, True, False):
        if refused is not None:
            files.judged(refused=refused)
        lines = metrics.exposition().decode().splitlines()
        told += [line for line in lines if line.startswith("authz_ratelimit_files_failed ")]
    assert told == [f"authz_ratelimit_files_failed {value}" for value in ("0.0", "1.0", "0.0")]
