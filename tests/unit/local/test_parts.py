"""What each part of the stack is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from authz_service.local import binaries, parts
from authz_service.local.parts import Layout
from authz_service.supervise.process import Part

SECRETS = {
    "API_KEYS": "[]",
    "REDIS_URL": "redis://:p@store",
    "AUTHZ_KEYS_URL": "redis://:p@store",
    "JWT_SECRET": "s",
}


@pytest.fixture(autouse=True)
def _binaries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started, so nothing need be installed."""
    for name in ("valkey", "envoy"):
        monkeypatch.setattr(binaries, name, lambda: Path("/program"))


def layout(**environment: str) -> Layout:
    """A layout in this environment."""
    return Layout(
        run_dir=Path("/run/stack"),
        policy_file=Path("/policy.yaml"),
        public_port=1,
        scrape_port=2,
        app_port=3,
        environment=environment,
    )


@pytest.mark.parametrize("make", [parts.valkey, parts.envoy, parts.image_service])
def test_secrets_go_to_the_sidecar_alone(make: Callable[[Layout], Part]) -> None:
    """The other parts get what the system needs, and no variable that nobody named."""
    told = make(layout(PATH="/bin", **SECRETS)).environment
    assert not told.keys() & SECRETS.keys()
    assert told["PATH"] == "/bin"


def test_the_image_service_is_told_its_own_settings() -> None:
    """What a person sets for it reaches it."""
    told = parts.image_service(layout(IMAGE_WORKERS="3", DEBUG="true")).environment
    assert (told["IMAGE_WORKERS"], told["DEBUG"]) == ("3", "true")


def test_the_sidecar_is_told_everything_but_where_it_is() -> None:
    """Policies name variables of their own; addresses and the store are the stack's."""
    told = parts.authz(
        layout(**SECRETS, AUTHZ_GRPC_LISTEN="unix:/a", AUTHZ_WORKERS="9")
    ).environment
    assert (told["JWT_SECRET"], told["API_KEYS"]) == ("s", "[]")
    assert told["REDIS_URL"] == "unix:///run/stack/valkey.sock"
    assert told["AUTHZ_KEYS_URL"] == "unix:///run/stack/valkey.sock"
    assert (told["AUTHZ_GRPC_LISTEN"], told["AUTHZ_WORKERS"]) == ("", "2")


def test_the_admin_api_is_there_for_whoever_sets_its_token() -> None:
    """On a port of the stack, with the stack's own store of keys."""
    told = parts.authz(
        layout(
            AUTHZ_ADMIN_TOKEN="t",
            AUTHZ_ADMIN_LISTEN="0.0.0.0:1",
            AUTHZ_KEYS_URL="redis://store",
        )
    ).environment
    assert told["AUTHZ_ADMIN_TOKEN"] == "t"
    assert told["AUTHZ_ADMIN_LISTEN"] == "127.0.0.1:0"
    assert told["AUTHZ_KEYS_URL"] == "unix:///run/stack/valkey.sock"
