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


@pytest.mark.parametrize(
    "make", [parts.valkey, parts.queue, parts.envoy, parts.image_service, parts.image_worker]
)
def test_secrets_go_to_the_sidecar_alone(make: Callable[[Layout], Part]) -> None:
    """The other parts get what the system needs, and no variable that nobody named."""
    told = make(layout(PATH="/bin", **SECRETS)).environment
    assert not told.keys() & SECRETS.keys()
    assert told["PATH"] == "/bin"


def test_the_image_service_is_told_its_own_settings() -> None:
    """What a person sets for it reaches it."""
    environment = layout(IMAGE_WORKERS="3", IMAGE_QUEUE_LIMIT="9", DEBUG="true")
    api = parts.image_service(environment).environment
    worker = parts.image_worker(environment).environment
    assert (api["IMAGE_QUEUE_LIMIT"], api["DEBUG"]) == ("9", "true")
    assert (worker["IMAGE_WORKERS"], worker["DEBUG"]) == ("3", "true")


def test_both_processes_of_the_image_service_share_their_stores() -> None:
    """Jobs in a Valkey of their own, files in the run folder, whatever the environment says."""
    environment = layout(IMAGE_QUEUE_URL="redis://store", IMAGE_FILES_URL="gs://bucket")
    for part in (parts.image_service(environment), parts.image_worker(environment)):
        assert part.environment["IMAGE_QUEUE_URL"] == "unix:///run/stack/queue.sock"
        assert part.environment["IMAGE_FILES_URL"] == "file:///run/stack/files"


def test_the_queue_keeps_what_it_is_told() -> None:
    """On the disk before the answer, and nothing is thrown away for want of memory."""
    command = " ".join(parts.queue(layout()).command)
    for setting in ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction"):
        assert f"--{setting}" in command


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
