"""The series about the release."""

import platform

from authz_service import __version__
from authz_service.observe.build_info import build_info
from authz_service.observe.metrics import Metrics


def test_the_release_and_its_python_are_told() -> None:
    """As labels of a series that is 1."""
    metrics = Metrics()
    metrics.register(build_info())
    told = f'authz_build_info{{python="{platform.python_version()}",version="{__version__}"}} 1.0'
    assert told in metrics.exposition().decode().splitlines()
