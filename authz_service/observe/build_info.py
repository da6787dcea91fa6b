"""Which release runs, and by which Python."""

import platform

from prometheus_client import Info
from prometheus_client.registry import Collector

from authz_service import __version__


def build_info() -> Collector:
    """The series `authz_build_info`: always 1, what there is to know is in its labels."""
    info = Info("authz_build", "The release that runs, and its Python.", registry=None)
    info.info({"version": __version__, "python": platform.python_version()})
    return info
