"""What the guide to tokens says is so."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from authz_service.clock import SystemClock
from authz_service.configuration import load_configuration
from authz_service.core.claims import MAX_SCOPES
from authz_service.core.credential import MAX_TOKEN_BYTES
from authz_service.core.identity import Identity, Method
from authz_service.core.json_object import MAX_DEPTH
from authz_service.core.verdict import Reason
from authz_service.identity.jwks import MAX_MEMBERS
from authz_service.identity.jwks_fetch import MAX_BYTES, TOTAL_SECONDS
from authz_service.identity.tokens import MAX_REMEMBERED
from authz_service.policy.schema import ProviderPart
from authz_service.policy.sources import load_policy
from authz_service.settings import load_settings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")


def test_the_shown_token_is_believed() -> None:
    """The command of the guide makes a token that a service with the same secret accepts."""
    (shown,) = re.findall(r"TOKEN=\$\(\.venv/bin/python (.*)\)\n", GUIDE)
    secret = "5f" * 32
    made = subprocess.run(
        [sys.executable, *shlex.split(shown)],
        env={"JWT_SECRET": secret},
        capture_output=True,
        check=True,
        timeout=30,
    )
    settings = load_settings(
        {
            "AUTHZ_POLICY_FILE": str(ROOT / "image_service" / "policy.yaml"),
            "JWT_SECRET": secret,
        }
    )
    verify = load_configuration(settings, {}).credentials.verify_token
    assert verify(made.stdout.strip(), SystemClock().now_ms()) == Identity(
        subject="jwt:default:ada", tier="pro", method=Method.JWT
    )


def test_the_guide_shows_a_policy_that_loads(tmp_path: Path) -> None:
    """Copied from the guide, it names two providers."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    file = tmp_path / "policy.yaml"
    file.write_text(shown, encoding="utf-8")
    assert [provider.name for provider in load_policy(file, {}).providers] == ["login", "backend"]


def test_every_key_of_a_provider_is_documented() -> None:
    """And no other."""
    cells = re.findall(r"^\| (`[a-z_`, ]+`) \| .+ \| .+ \|$", GUIDE, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
    of_url = {name for name in ProviderPart.model_fields if name.startswith("jwks_")}
    assert documented | of_url == set(ProviderPart.model_fields)
    assert all(f"`{name}`" in GUIDE for name in of_url)


def test_every_reason_of_tokens_is_documented() -> None:
    """Under the name that logs and metrics have."""
    rows = re.findall(r"^\| `([a-z_]+)` \| [^|]*\|$", GUIDE, re.MULTILINE)
    named = [reason for reason in Reason if reason.value in rows]
    first, last = Reason.MALFORMED_TOKEN, Reason.TIER_NOT_GRANTED
    every = list(Reason)
    assert set(named) == set(every[every.index(first) : every.index(last) + 1])
    assert f"`{Reason.SIGNING_KEYS_UNAVAILABLE}`" in GUIDE


def test_the_numbers_of_the_guide_are_those_of_the_code() -> None:
    """Bounds that an operator may run into."""
    for said in (
        f"more than {MAX_TOKEN_BYTES} bytes",
        f"deeper than {MAX_DEPTH} levels",
        f"at most {MAX_SCOPES}, each",
        f"takes {TOTAL_SECONDS:.0f} s at most",
        f"reads at most {MAX_BYTES >> 20} MiB",
        f"at most {MAX_MEMBERS} in all",
        f"until {MAX_REMEMBERED:,} others",
    ):
        assert said in GUIDE, said
