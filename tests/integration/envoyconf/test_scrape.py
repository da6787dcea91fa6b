"""The listener for Prometheus and probes, and the series it shows."""

import re
from pathlib import Path

import pytest

from tests.integration.envoyconf.envoy_process import Envoy, eventually

_JOB = "/api/v1/jobs/7"


def _value(envoy: Envoy, name: str, **labels: str) -> float | None:
    """The value of one series, labels in any order, Envoy's own prefix left out."""
    wanted = set(labels.items())
    for line in envoy.scrape.send("GET", "/metrics").body.decode().splitlines():
        match = re.fullmatch(rf"envoy_imagen_{name}{{(.*)}} (\S+)", line)
        if match and wanted == set(re.findall(r'(\w+)="([^"]*)"', match[1])):
            return float(match[2])
    return None


def test_metrics_and_readiness(envoy: Envoy) -> None:
    """Two questions are answered."""
    assert envoy.scrape.send("GET", "/ready").body == b"LIVE\n"
    assert b"# TYPE envoy_" in envoy.scrape.send("GET", "/metrics").body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/stats"),
        ("GET", "/stats/prometheus"),
        ("GET", "/config_dump"),
        ("GET", "/metrics/"),
        ("GET", "/metrics/../config_dump"),
        ("GET", "/metrics?filter=x"),
        ("GET", "/metrics?usedonly"),
        ("GET", "/ready?x"),
        ("GET", "/metrics#x"),
        ("POST", "/metrics"),
        ("POST", "/quitquitquit"),
        ("POST", "/ready"),
        ("HEAD", "/ready"),
    ],
)
def test_nothing_else_is_answered(envoy: Envoy, method: str, path: str) -> None:
    """No query, no other spelling, no other method: the admin interface stays out of reach."""
    assert envoy.scrape.send(method, path).status in {400, 404}


def test_the_admin_socket_is_the_owners(envoy: Envoy) -> None:
    """Its mode is 0600."""
    assert Path(envoy.settings.admin_socket).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("path", "key", "endpoint", "status"),
    [
        (_JOB, "free", "/api/v1/jobs/{job_id}", "200"),
        (_JOB, "nobody", "/api/v1/jobs/{job_id}", "401"),
        ("/api/v1/images/upscale", "free", "/api/v1/images/upscale", "405"),
        ("/nowhere", "free", "other", "404"),
    ],
)
def test_requests_are_counted(
    envoy: Envoy, path: str, key: str, endpoint: str, status: str
) -> None:
    """By method, path template and status, whoever answered."""
    labels = {"method": "GET", "endpoint": endpoint, "status_code": status}
    before = _value(envoy, "http_requests_total", **labels) or 0.0
    envoy.public.send("GET", path, ("x-api-key", key))
    eventually(lambda: _value(envoy, "http_requests_total", **labels) == before + 1)


def test_garbage_is_counted(envoy: Envoy) -> None:
    """Under no method and no endpoint of ours."""
    labels = {"method": "OTHER", "endpoint": "other", "status_code": "400"}
    before = _value(envoy, "http_requests_total", **labels) or 0.0
    envoy.public.raw(b"not http at all\r\n\r\n")
    eventually(lambda: _value(envoy, "http_requests_total", **labels) == before + 1)


def test_durations_are_measured_in_milliseconds(envoy: Envoy) -> None:
    """One observation a request, in buckets of ours; they show up after a flush."""
    labels = {"method": "GET", "endpoint": "/readyz"}
    name = "http_request_duration_bucket"
    before = _value(envoy, name, le="1000", **labels) or 0.0
    envoy.public.send("GET", "/readyz")
    eventually(lambda: _value(envoy, name, le="1000", **labels) == before + 1)
    assert _value(envoy, name, le="2.5", **labels) is not None  # not one of Envoy's own buckets


def test_requests_under_way(envoy: Envoy) -> None:
    """The gauge is up while a request waits, and down again when its client has gone."""
    labels = {"method": "GET", "endpoint": "/api/v1/jobs/{job_id}/result"}
    head = f"GET {_JOB}/result HTTP/1.1\r\nhost: a\r\nx-api-key: free\r\nx-do: hang\r\n\r\n"
    with envoy.public.connect() as connection:
        connection.sendall(head.encode())
        eventually(lambda: _value(envoy, "http_requests_in_progress", **labels) == 1)
    eventually(lambda: _value(envoy, "http_requests_in_progress", **labels) == 0)
