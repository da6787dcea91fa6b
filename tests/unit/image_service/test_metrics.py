"""The service's series: names and labels of the API document."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from image_service.metrics import Metrics, Role

ROLES: tuple[Role, ...] = ("api", "worker")


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every series by name and label values."""
    text, _ = metrics.render("")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parse_plain(text.decode())
        for sample in family.samples
    }


def test_jobs_are_counted() -> None:
    """When they are taken, and by what became of them."""
    metrics, worker = Metrics("api"), Metrics("worker")
    metrics.job_created("upscale")
    metrics.job_completed("upscale", "cancelled")
    metrics.job_completed("upscale", "cancelled")
    worker.job_completed("upscale", "success", duration=12.5)
    worker.job_completed("upscale", "failure", duration=0.01)
    found = values(metrics) | values(worker)
    assert found["imagen_jobs_created_total", "upscale"] == 1
    assert found["imagen_jobs_completed_total", "upscale", "success"] == 1
    assert found["imagen_jobs_completed_total", "upscale", "failure"] == 1
    assert found["imagen_jobs_completed_total", "upscale", "cancelled"] == 2
    assert found["imagen_job_processing_seconds_count", "upscale"] == 2
    assert found["imagen_job_processing_seconds_sum", "upscale"] == 12.51


def test_files_are_counted_by_size() -> None:
    """The largest of every tier is a bound."""
    metrics = Metrics("api")
    metrics.file_uploaded("upscale", size_bytes=1_024_000)
    metrics.file_uploaded("upscale", size_bytes=5 * 1_048_576)
    found = values(metrics)
    for bound, count in (("1.048576e+06", 1), ("2.097152e+06", 1), ("5.24288e+06", 2)):
        assert found["imagen_upload_file_size_bytes_bucket", "upscale", bound] == count


def test_the_depth_of_the_queue_is_what_was_said_last() -> None:
    """It is asked for before every scrape; not a number says that nobody knows."""
    metrics = Metrics("api")
    metrics.queue_depth("upscale-jobs", 2)
    assert values(metrics)["imagen_queue_depth", "upscale-jobs"] == 2
    metrics.queue_depth("upscale-jobs", math.nan)
    assert math.isnan(values(metrics)["imagen_queue_depth", "upscale-jobs"])


def test_no_series_is_in_both_processes() -> None:
    """Together they would be counted twice."""
    api, worker = (values(Metrics(role)) for role in ROLES)
    assert not api.keys() & worker.keys()


def test_series_are_there_before_their_first_event() -> None:
    """Else a rate would miss the first."""
    found = values(Metrics("api")) | values(Metrics("worker"))
    assert found["imagen_jobs_created_total", "upscale"] == 0
    for outcome in ("success", "failure", "cancelled"):
        assert found["imagen_jobs_completed_total", "upscale", outcome] == 0
    assert found["imagen_job_processing_seconds_count", "upscale"] == 0
    assert found["imagen_upload_file_size_bytes_count", "upscale"] == 0


def test_both_formats_are_spoken() -> None:
    """The newer where it is asked for; creation times only there."""
    text, content_type = Metrics("api").render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert list(text_string_to_metric_families(text.decode()))  # type: ignore[no-untyped-call]
    assert b"imagen_jobs_completed_created" in text
    text, content_type = Metrics("api").render("text/html")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"_created{" not in text


def test_every_series_is_documented() -> None:
    """Under the name that a query uses."""
    text = b"".join(Metrics(role).render("")[0] for role in ROLES)
    guide = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    names = {line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")}
    documented = set(re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE))
    assert {name for name in documented if name.startswith("imagen_")} == names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("role", ROLES)
def test_promtool_has_nothing_to_say(role: Role) -> None:
    """Names, types and texts follow the custom."""
    metrics = Metrics(role)
    text, _ = metrics.render("")
    judged = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=20
    )
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, b"", b"")
