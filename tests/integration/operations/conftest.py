"""Folders short enough for Unix sockets."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.envoyconf.envoy_process import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the test's own."""
    path = short_folder()
    yield path
    shutil.rmtree(path)
