"""Envoy's request series under our names."""

from collections.abc import Sequence

import pytest
from prometheus_client import Metric

from authz_service.observe.envoy_stats import request_series
from authz_service.observe.merge import render

_OF_ENVOY = """\
# TYPE envoy_cluster_up_upstream_rq_total counter
envoy_cluster_up_upstream_rq_total{envoy_cluster_name="up"} 12
# TYPE envoy_imagen_http_requests_total counter
envoy_imagen_http_requests_total{endpoint="/v1/{id}",method="GET",status_code="200"} 4
envoy_imagen_http_requests_total{method="GET",endpoint="/v1/{id}",status_code="0"} 1
envoy_imagen_http_requests_total{method="GET",endpoint="/v1/{id}",status_code="499"} 2
envoy_imagen_http_requests_total{method="",endpoint="",status_code="400"} 3
# TYPE envoy_imagen_http_requests_in_progress gauge
envoy_imagen_http_requests_in_progress{method="GET",endpoint="/v1/{id}"} 1
# TYPE envoy_imagen_http_request_duration histogram
envoy_imagen_http_request_duration_bucket{method="GET",endpoint="/v1/{id}",le="2.5"} 1
envoy_imagen_http_request_duration_bucket{method="GET",endpoint="/v1/{id}",le="1000"} 3
envoy_imagen_http_request_duration_bucket{method="GET",endpoint="/v1/{id}",le="+Inf"} 4
envoy_imagen_http_request_duration_sum{method="GET",endpoint="/v1/{id}"} 1210.5
envoy_imagen_http_request_duration_count{method="GET",endpoint="/v1/{id}"} 4
envoy_other_http_requests_total{method="GET",endpoint="/",status_code="200"} 9
"""


def text_of(families: Sequence[Metric]) -> list[str]:
    """The lines that are shown, comments left out."""
    lines = render(families, "")[0].decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_requests_get_our_names_and_seconds() -> None:
    """Client aborts are 499, what has no route is `other`, the rest of Envoy's is dropped."""
    where = 'endpoint="/v1/{id}",method="GET"'
    seconds = "imagen_http_request_duration_seconds"
    assert text_of(request_series(_OF_ENVOY, prefix="imagen")) == [
        f'imagen_http_requests_total{{{where},status_code="200"}} 4.0',
        f'imagen_http_requests_total{{{where},status_code="499"}} 3.0',
        'imagen_http_requests_total{endpoint="other",method="none",status_code="400"} 3.0',
        f'{seconds}_bucket{{endpoint="/v1/{{id}}",le="0.0025",method="GET"}} 1.0',
        f'{seconds}_bucket{{endpoint="/v1/{{id}}",le="1.0",method="GET"}} 3.0',
        f'{seconds}_bucket{{endpoint="/v1/{{id}}",le="+Inf",method="GET"}} 4.0',
        f"{seconds}_count{{{where}}} 4.0",
        f"{seconds}_sum{{{where}}} 1.2105",
        f"imagen_http_requests_in_progress{{{where}}} 1.0",
    ]


def test_the_prefix_is_the_policys() -> None:
    """Another prefix, other series."""
    assert text_of(request_series(_OF_ENVOY, prefix="other")) == [
        'other_http_requests_total{endpoint="/",method="GET",status_code="200"} 9.0'
    ]


def test_types_are_told_even_of_nothing() -> None:
    """Before the first request the names are there already."""
    text, _ = render(request_series("", prefix="imagen"), "")
    assert text_of(request_series("", prefix="imagen")) == []
    assert text.count(b"# TYPE imagen_http_request") == 3


def test_labels_survive_their_quoting() -> None:
    """A quote, a backslash, a line break and a closing brace in a path."""
    line = r'envoy_a_http_requests_in_progress{method="GET",endpoint="/\"x\\y\n}"} 1'
    families = request_series(line, prefix="a")
    assert families[2].samples[0].labels["endpoint"] == '/"x\\y\n}'


def _bucket(bound: str, count: int) -> str:
    return f'envoy_a_http_request_duration_bucket{{le="{bound}"}} {count}\n'


@pytest.mark.parametrize(
    "line",
    [
        'envoy_a_http_requests_total{method="GET"} x',
        'envoy_a_http_requests_total{method="GET"} NaN',
        'envoy_a_http_requests_total{method="GET"} Inf',
        'envoy_a_http_requests_total{method="GET"}',
        "envoy_a_http_requests_total 1",
        'envoy_a_http_requests_total_x{method="GET"} 1',
        'x_envoy_a_http_requests_total{method="GET"} 1',
        'envoy_a_http_request_duration_bucket{method="GET",le="1"} 1',
        'envoy_a_http_request_duration_bucket{method="GET",le="x"} 1',
        'envoy_a_http_request_duration_bucket{method="GET"} 1',
        'envoy_a_http_request_duration_sum{method="GET"} 1',
        _bucket("1", 2) + _bucket("+Inf", 1),
        _bucket("NaN", 2) + _bucket("+Inf", 1),
    ],
)
def test_junk_is_left_out(line: str) -> None:
    """And what stands beside it is not."""
    good = 'envoy_a_http_requests_in_progress{method="GET",endpoint="/"} 1'
    assert text_of(request_series(f"{line}\n{good}\n", prefix="a")) == [
        'a_http_requests_in_progress{endpoint="/",method="GET"} 1.0'
    ]
