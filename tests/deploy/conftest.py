"""What pods on this machine are made of."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.network import missing
from tests.deploy.programs import Programs


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    """The programs, where there can be pods to run them in."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"this machine gives no namespaces: {reason}")
    with tempfile.TemporaryDirectory(prefix="programs-") as folder:
        yield Programs(Path(folder))
