"""What `k8s/base` shows of the policy and of the alerts is what is written there now."""

from pathlib import Path

import pytest
import yaml

from authz_service.cli import main
from authz_service.commands.render_k8s import policy_config_map
from authz_service.policy.sources import load_policy
from monitoring.prometheus import operator_rule

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "image_service" / "policy.yaml"
BASE = ROOT / "k8s" / "base"


def test_the_config_map_is_the_policy() -> None:
    """A difference means: look at it, then `make render`."""
    rendered = policy_config_map(POLICY, name="imagen-api-policy", environment={})

    assert (BASE / "policy.yaml").read_text("utf-8") == rendered


def test_the_operators_rule_is_rules_and_alerts() -> None:
    """A difference means: look at it, then `make render`."""
    assert operator_rule.FILE.read_text("utf-8") == operator_rule.text()


def test_the_mounted_config_map_is_the_same_policy(tmp_path: Path) -> None:
    """Its keys as files of one folder compile to the image service's policy, digest and all."""
    for name, text in yaml.safe_load((BASE / "policy.yaml").read_text("utf-8"))["data"].items():
        (tmp_path / name).write_text(text, "utf-8")

    assert load_policy(tmp_path / "policy.yaml", {}) == load_policy(POLICY, {})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("include: [parts/more.yaml]", "names 'parts/more.yaml', which cannot lie beside"),
        (
            "jwt: [{name: own, issuer: i, audiences: [a], algorithms: [HS256], secret_file: s}]",
            "jwt own: its secret_file is no part of a ConfigMap; write secret_env",
        ),
        ("tires: {}", "is an unknown key"),
    ],
)
def test_what_no_config_map_can_hold_is_refused(
    more: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders, secrets and wrong policies end with exit code 2, and nothing is written."""
    text = (ROOT / "tests" / "fixtures" / "policies" / "valid" / "minimal.yaml").read_text("utf-8")
    (tmp_path / "policy.yaml").write_text(f"{text}\n{more}\n", "utf-8")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "more.yaml").write_text("tiers: {}\n", "utf-8")
    file = tmp_path / "map.yaml"

    arguments = ["--name", "policy", "--policy-file", str(tmp_path / "policy.yaml")]
    assert main(["render", "k8s", str(file), *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not file.exists()
