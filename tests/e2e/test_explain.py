"""`explain` beside the running stack says what the stack answers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authz_service.testing.tokens import signer
from tests.e2e.jwks_server import jwks_server
from tests.e2e.processes import eventually
from tests.e2e.stack import ROOT, Stack, running
from tests.e2e.test_tokens import claims, policy

pytestmark = pytest.mark.slow  # every question starts a program
LIMITS = "/api/v1/images/limits"
RSA = signer("RS256", "rsa-1")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a key store, and a provider whose keys are fetched."""
    with jwks_server() as keys:
        keys.publish(RSA)
        with running(policy(keys, tmp_path_factory.mktemp("explain"))) as started:
            yield started


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in the environment of the stack's sidecar."""
    valkey = f"unix://{stack.run_dir / 'valkey.sock'}"
    return subprocess.run(
        [sys.executable, "-m", "authz_service", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "AUTHZ_POLICY_FILE": str(Path(stack.run_dir) / "policy.yaml"),
            "AUTHZ_KEYS_URL": valkey,
            "REDIS_URL": valkey,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def explained(stack: Stack, header: str) -> dict[str, Any]:
    """What is said of a request with this header."""
    done = command(stack, "explain", "--path", LIMITS, "--header", header, "--json")
    assert done.returncode in {0, 3}, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_keys_of_the_store_and_tokens_of_providers_are_explained(stack: Stack) -> None:
    """Reason and status of the service, for both kinds, and nothing is counted by asking."""
    made = command(stack, "keys", "create", "--name", "n", "--tier", "pro", "--id", "made")
    assert made.returncode == 0, made.stderr
    key, token = made.stdout.strip(), RSA.token(claims(tier="pro")).decode()
    headers = {"X-API-Key": key, "Authorization": f"Bearer {token}"}
    eventually(lambda: stack.client.get(LIMITS, [("X-API-Key", key)]).status == 200)

    for name, value in headers.items():
        for _ in range(2):
            said = explained(stack, f"{name}: {value}")
            assert (said["passes"], said["reason"]) == (True, "ok"), said
        live = stack.client.get(LIMITS, [(name, value)])
        assert live.status == 200
        assert value.rpartition(" ")[2] not in json.dumps(said)

    spoiled = explained(stack, f"Authorization: Bearer {token[:-4]}AAAA")
    assert (spoiled["passes"], spoiled["reason"]) == (False, "bad_signature")


def test_a_revoked_key_is_explained_as_revoked(stack: Stack) -> None:
    """As soon as the store knows it."""
    made = command(stack, "keys", "create", "--name", "n", "--tier", "pro", "--id", "gone")
    command(stack, "keys", "disable", "gone")

    said = explained(stack, f"X-API-Key: {made.stdout.strip()}")

    assert (said["passes"], said["reason"]) == (False, "disabled_key")
