"""A real Prometheus that scrapes stacks every second as the shipped file says; its HTTP API."""

import math
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import yaml

from tests.e2e.client import HOST, Client
from tests.e2e.mesh import Mesh
from tests.e2e.processes import eventually
from tests.e2e.stack import Stack
from tests.monitoring.dashboard_queries import WINDOW
from tests.monitoring.rule_files import FOLDER, read
from tests.servers.node import free_ports

_PORTS: Final = {
    "9102": "AUTHZ_OPERATIONS_PORT",
    "9103": "IMAGE_OPERATIONS_PORT",
    "9105": "IMAGE_WORKER_OPERATIONS_PORT",
    "9901": "AUTHZ_SCRAPE_PORT",
}
"""Which setting moves each port of the shipped file."""

# All that the local stack has not got; the rest would be counted twice.
_OF_THE_AUTHORIZER: Final = {
    "source_labels": ["__name__"],
    "regex": "authz_tls_.*",
    "action": "keep",
}
_TARGETS: Final = len(_PORTS) + 1

_WINDOW_OF_FOUR_SCRAPES: Final = "4s"  # what Grafana makes of the variable
_STOP_TIMEOUT_S: Final = 20

# The last requests are in it, those of Envoy's histograms included, and no job is under way.
_SETTLED: Final = """
count(timestamp(up) > {since_s}) == {targets}
and on () {requests} == {durations}
and on () {in_progress} == 0
and on () {created} == {completed}
"""
_SUMS: Final = {
    "requests": "imagen_http_requests_total",
    "durations": "imagen_http_request_duration_seconds_count",
    "in_progress": "imagen_http_requests_in_progress",
    "created": "imagen_jobs_created_total",
    "completed": "imagen_jobs_completed_total",
}


class Prometheus:
    """Talks to one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"{HOST}:{self._client.port}"

    def has_scraped_all(self) -> bool:
        """Whether every target has been scraped."""
        try:
            is_ready = self._client.get("/-/ready").status == 200
        except OSError:  # it does not listen yet
            return False
        return is_ready and len(self._ask("query", query="up == 1")["result"]) == _TARGETS

    def has_settled(self, since_s: float) -> bool:
        """Whether a scrape after this time tells of nothing that is still under way."""
        sums = {name: f"(sum({series}) or vector(0))" for name, series in _SUMS.items()}
        query = _SETTLED.format(since_s=since_s, targets=_TARGETS, **sums)
        return bool(self._ask("query", query=query)["result"])

    def table(self, query: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The last numbers, by the values of these labels."""
        lines = self._ask("query", query=query)["result"]
        told = {
            tuple(line["metric"].get(label, "") for label in labels): float(line["value"][1])
            for line in lines
        }
        assert len(told) == len(lines), f"more labels than {labels} tell lines of {query} apart"
        return told

    def numbers(self, query: str, *, start_s: float, end_s: float) -> list[float]:
        """What a panel would draw of this time: one number a second for each line, gaps left out.

        Raises:
            AssertionError: it is no query.
        """
        filled = query.replace(WINDOW, _WINDOW_OF_FOUR_SCRAPES)
        lines = self._ask("query_range", query=filled, start=start_s, end=end_s, step=1)["result"]
        values = [float(value) for line in lines for _, value in line["values"]]
        return [value for value in values if math.isfinite(value)]

    def rules(self) -> dict[str, str]:
        """Every rule and alert, and whether it could be evaluated: `ok`, `err` or `unknown`."""
        groups = self._ask("rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def _ask(self, endpoint: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        reply = self._client.get(f"/api/v1/{endpoint}?{urlencode(parameters)}")
        assert reply.status == 200, reply.body
        return reply.json()["data"]


@contextmanager
def prometheus(program: str, stack: Stack, gateway: Mesh) -> Iterator[Prometheus]:
    """From its first scrapes to its end."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="prometheus-") as name:
        folder = Path(name)
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(_configuration(stack, gateway)), "utf-8")
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
                eventually(started.has_scraped_all)
                yield started
            finally:
                process.terminate()
                process.wait(_STOP_TIMEOUT_S)


def _configuration(stack: Stack, gateway: Mesh) -> Any:  # noqa: ANN401 - YAML
    """The shipped file, every second and with the ports of this stack; and of the authorizer."""
    shipped = read(FOLDER / "prometheus.yaml")
    shipped["global"] = {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    shipped["rule_files"] = [str(FOLDER / name) for name in shipped["rule_files"]]
    for job in shipped["scrape_configs"]:
        (scraped,) = job["static_configs"]
        host, _, port = scraped["targets"][0].partition(":")
        scraped["targets"] = [f"{host}:{stack.ports[_PORTS[port]]}"]
    shipped["scrape_configs"].append(
        {
            "job_name": "authorizer",
            "static_configs": [{"targets": [f"{HOST}:{gateway.operations.port}"]}],
            "metric_relabel_configs": [_OF_THE_AUTHORIZER],
        }
    )
    return shipped
