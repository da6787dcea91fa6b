"""A collector that is set wants packages; what is wrong is said before anything starts."""

from pathlib import Path

import pytest

from authz_service import cli
from authz_service.addresses import HostAndPort
from authz_service.errors import ConfigurationError
from authz_service.observe import tracing
from authz_service.settings import load_settings
from image_service import tracing as image_tracing
from image_service.clock import SystemClock
from image_service.errors import ConfigurationError as ImageConfigurationError
from image_service.settings import Settings

PLACE = "http://127.0.0.1:4317"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Enough to start with."""
    file = tmp_path / "policy.yaml"
    file.touch()
    return {"AUTHZ_POLICY_FILE": str(file)}


@pytest.fixture
def _not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tracing, image_tracing):
        monkeypatch.setattr(module, "find_spec", lambda _name: None)


@pytest.mark.usefixtures("_not_installed")
def test_the_sidecar_does_not_start_without_the_packages(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line names the variable and what to install, beside what else is wrong."""
    for name, value in {**variables, tracing.ENDPOINT: PLACE}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(variables["AUTHZ_POLICY_FILE"].rpartition("/")[0])
    assert cli.main(["serve"]) == 2
    told = capsys.readouterr().err
    (line,) = [it for it in told.splitlines() if tracing.ENDPOINT in it]
    assert "traces need packages" in line
    assert "authz-sidecar[tracing]" in line
    assert "policy.yaml" in told


@pytest.mark.usefixtures("_not_installed")
def test_nor_does_the_image_service() -> None:
    """In the same words."""
    with pytest.raises(ImageConfigurationError, match=r"^OTEL_\w+: .*authz-sidecar\[tracing\]"):
        image_tracing.tracing_to(PLACE, service="image_service", clock=SystemClock())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (PLACE, ("127.0.0.1", 4317)),
        (f"{PLACE}/", ("127.0.0.1", 4317)),
        ("http://collector:4317", ("collector", 4317)),
        ("http://[::1]:1", ("::1", 1)),
    ],
)
def test_a_collector_is_a_host_and_a_port(
    variables: dict[str, str], text: str, place: tuple[str, int]
) -> None:
    """Both services read it alike."""
    settings = load_settings({**variables, tracing.ENDPOINT: text})
    assert settings.otlp_endpoint == HostAndPort(*place)
    images = Settings.load({"REDIS_URL": "redis://a", tracing.ENDPOINT: text})
    assert settings.traces_go_to == images.traces_go_to == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:4317",
        "https://collector:4317",
        "http://collector",
        "http://collector:0x1",
        "http://collector:4317/v1/traces",
        "http://user:secret@collector:4317",
        "http://a b:4317",
        "http://[:4317",
        "http://:4317",
        "http://collector:0",
        "grpc://collector:4317",
    ],
)
def test_anything_else_is_refused(variables: dict[str, str], text: str) -> None:
    """By both, naming the variable and not its value, which may hold a password."""
    with pytest.raises(ConfigurationError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: ") as sidecars:
        load_settings({**variables, tracing.ENDPOINT: text})
    with pytest.raises(ImageConfigurationError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: ") as images:
        Settings.load({"REDIS_URL": "redis://a", tracing.ENDPOINT: text})
    assert text not in f"{sidecars.value}{images.value}"


@pytest.mark.parametrize("text", ["-0.1", "1.1", "nan", "half"])
def test_a_part_is_between_nought_and_one(variables: dict[str, str], text: str) -> None:
    """The variable and its value are named."""
    with pytest.raises(ConfigurationError, match=f"^AUTHZ_TRACE_SAMPLING: '{text}' "):
        load_settings({**variables, "AUTHZ_TRACE_SAMPLING": text})
