"""What pods on this machine are made of."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.images import Images
from tests.deploy.network import missing


@pytest.fixture(scope="session")
def images() -> Iterator[Images]:
    """The programs, where there can be pods to run them in."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"this machine gives no namespaces: {reason}")
    with tempfile.TemporaryDirectory(prefix="images-") as folder:
        yield Images(Path(folder))
