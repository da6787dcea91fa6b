"""What Envoy's configuration takes from the settings."""

from pathlib import Path

import pytest

from authz_service.envoy_files import envoy_settings, write_envoy_files
from authz_service.settings import Settings, load_settings
from tests.unit.envoyconf.builders import default_policy


def settings(tmp_path: Path, **variables: str) -> Settings:
    """Settings with a policy file that exists, and these variables."""
    file = tmp_path / "policy.yaml"
    file.touch()
    return load_settings({"AUTHZ_POLICY_FILE": str(file), **variables})


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ("unix:/run/authz.sock", "/run/authz.sock"),
        ("10.0.0.1:9000", "10.0.0.1:9000"),
        ("[fd00::1]:9000", "fd00::1:9000"),
        ("0.0.0.0:9000", "127.0.0.1:9000"),
        ("[::]:9000", "::1:9000"),
    ],
)
def test_envoy_looks_for_a_worker_where_it_can_be_reached(
    tmp_path: Path, listen: str, found: str
) -> None:
    """Without gRPC's spelling; nobody connects to every interface."""
    envoy = envoy_settings(settings(tmp_path, AUTHZ_GRPC_LISTEN=listen))
    assert envoy.authz_sockets == (found,)


def test_destinations_are_told_without_brackets(tmp_path: Path) -> None:
    """Envoy wants the host and the port of each by themselves."""
    envoy = envoy_settings(
        settings(tmp_path, AUTHZ_UPSTREAM="[::1]:8080", AUTHZ_PUBLIC_METRICS="[::1]:9")
    )
    assert (envoy.upstream_host, envoy.upstream_port) == ("::1", 8080)
    assert envoy.metrics_address == ("::1", 9)


def test_envoy_knows_nothing_of_the_admin_api(tmp_path: Path) -> None:
    """No file of its names the port, the token or the key store: no door leads there."""
    secrets = {"AUTHZ_ADMIN_TOKEN": "canary-" * 6, "AUTHZ_KEYS_URL": "redis://canary-store:61235"}
    given = settings(tmp_path, AUTHZ_ADMIN_LISTEN="127.0.0.1:61234", **secrets)
    written = write_envoy_files(default_policy(), given, folder=tmp_path / "envoy")
    text = "".join(file.read_text() for file in written)
    assert "authz-0.sock" in text
    assert [it for it in ("61234", "61235", "canary", "admin-api") if it in text] == []
