"""A real Prometheus that scrapes a stack every second, and answers queries over its HTTP API."""

import math
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import yaml

from tests.e2e.client import HOST, Client
from tests.e2e.processes import eventually
from tests.e2e.stack import Stack
from tests.monitoring.dashboard_queries import WINDOW
from tests.servers.node import free_ports

_SCRAPED: Final = (
    "AUTHZ_OPERATIONS_PORT",
    "IMAGE_OPERATIONS_PORT",
    "IMAGE_WORKER_OPERATIONS_PORT",
)
_WINDOW_OF_FOUR_SCRAPES: Final = "4s"  # what Grafana makes of the variable
_STOP_TIMEOUT_S: Final = 20


class Prometheus:
    """Talks to one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def has_scraped(self, ports: int) -> bool:
        """Whether every port has been scraped."""
        try:
            is_ready = self._client.get("/-/ready").status == 200
        except OSError:  # it does not listen yet
            return False
        return is_ready and len(self._ask("query", query="up == 1")) == ports

    def numbers(self, query: str, *, start_s: float, end_s: float) -> list[float]:
        """What a panel would draw of this time: one number a second for each line, gaps left out.

        Raises:
            AssertionError: it is no query.
        """
        filled = query.replace(WINDOW, _WINDOW_OF_FOUR_SCRAPES)
        lines = self._ask("query_range", query=filled, start=start_s, end=end_s, step=1)
        values = [float(value) for line in lines for _, value in line["values"]]
        return [value for value in values if math.isfinite(value)]

    def _ask(self, endpoint: str, **parameters: object) -> list[dict[str, list[tuple[float, str]]]]:
        reply = self._client.get(f"/api/v1/{endpoint}?{urlencode(parameters)}")
        assert reply.status == 200, reply.body
        result: list[dict[str, list[tuple[float, str]]]] = reply.json()["data"]["result"]
        return result


@contextmanager
def prometheus(program: str, stack: Stack) -> Iterator[Prometheus]:
    """From its first scrapes to its end."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="prometheus-") as name:
        folder = Path(name)
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(_configuration(stack)), "utf-8")
        command = [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{port}",
        ]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                started = Prometheus(Client(port))
                eventually(lambda: started.has_scraped(len(_SCRAPED)))
                yield started
            finally:
                process.terminate()
                process.wait(_STOP_TIMEOUT_S)


def _configuration(stack: Stack) -> dict[str, object]:
    targets = [f"{HOST}:{stack.ports[name]}" for name in _SCRAPED]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "stack", "static_configs": [{"targets": targets}]}],
    }
