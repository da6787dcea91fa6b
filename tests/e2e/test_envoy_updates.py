"""An update that Envoy refuses is seen, and harms nobody."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.stack import Stack, running

LIMITS = "/api/v1/images/limits"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack whose files a test may spoil."""
    with running() as started:
        yield started


def test_a_refused_update_shows_in_metric_log_and_readiness(stack: Stack) -> None:
    """Envoy goes on with what it has; the operator is told until it takes an update again."""
    routes = stack.run_dir / "rds.yaml"
    good = routes.read_text("utf-8")
    assert eventually(lambda: told(stack) == ("ok", False))

    replace(stack, good.replace("virtual_hosts:", "virtual_ghosts:"))

    assert eventually(lambda: told(stack) == ("refuses its configuration", True))
    assert any("Envoy refuses its configuration" in line for line in stack.output)
    key = [("X-API-Key", stack.fresh_key())]
    assert stack.client.get(LIMITS, key).status == 200

    # Envoy passes over a text that equals the one it has.
    replace(stack, good.replace("version_info: ", "version_info: again-"))

    assert eventually(lambda: told(stack) == ("ok", False))


def replace(stack: Stack, text: str) -> None:
    """Put a text in the place of the routes, as the service does."""
    temporary = stack.run_dir / ".rds.yaml.test"
    temporary.write_text(text, "utf-8")
    temporary.replace(stack.run_dir / "rds.yaml")


def told(stack: Stack) -> tuple[str, bool]:
    """What readiness and the metric say of Envoy."""
    details = stack.operations.get("/readyz").json()["details"]
    metrics = stack.operations.get("/metrics").body
    return details["envoy"], b"\nauthz_envoy_update_rejected 1.0\n" in metrics


def eventually(is_so: Callable[[], bool]) -> bool:
    """Whether something becomes so within a few seconds."""
    for _ in range(50):
        if is_so():
            return True
        time.sleep(0.1)
    return False
