"""One provider process for all tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.terraform.workspace import Json, Judge, Terraform


@pytest.fixture(scope="session")
def terraform() -> Iterator[Terraform]:
    """Terraform with the stand-in provider."""
    with Terraform() as running:
        yield running


@pytest.fixture(scope="session")
def linter() -> Iterator[Judge]:
    """Finds faults in policies."""
    running = Judge("linter")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def walker() -> Iterator[Judge]:
    """Says which rule decides a request."""
    running = Judge("walker")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def plan_of_example(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What the example makes, with the variables that it shows."""
    folder = terraform.copy(tmp_path_factory.mktemp("example")) / "envs" / "example"
    shown = folder / "terraform.tfvars.example"
    shown.rename(folder / "terraform.tfvars")
    return terraform.plan(folder, {})


@pytest.fixture(scope="session")
def plan_of_everything(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """A policy with all that the security module can do; its rate rule is in preview."""
    folder = terraform.copy(tmp_path_factory.mktemp("policy")) / "modules" / "security"
    return terraform.plan(
        folder,
        {
            "address_lists": {
                "abuse": {"ranges": [f"198.51.100.{host}/32" for host in range(25)]},
                "watched": {"ranges": ["2001:db8::/32"], "preview": True},
            },
            "threat_intelligence": {
                "iplist-tor-exit-nodes": {"preview": False},
                "iplist-vpn-providers": {},
            },
            "waf": {
                "cve-canary": {"sensitivity": 0, "opt_in": ["owasp-crs-v030001-id044228-cve"]},
                "sqli-v422-stable": {"opt_out": ["owasp-crs-v042200-id942350-sqli"]},
                "xss-v422-stable": {"sensitivity": 2},
                "methodenforcement-v422-stable": {},
                "php-v422-stable": {},
            },
            "waf_enforced": ["cve-canary", "sqli-v422-stable", "xss-v422-stable"],
            "rate_ban": {
                "key": "USER_IP",
                "user_ip_headers": ["True-Client-IP"],
                "preview": True,
            },
        },
    )


@pytest.fixture(scope="session")
def plan_of_draft(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """The policy that the module began as, with all its faults. Terraform calls it valid."""
    folder = tmp_path_factory.mktemp("draft")
    shutil.copy(Path(__file__).parent / "cases" / "first-draft.tf", folder / "main.tf")
    terraform.succeed(folder, "init", "-input=false")
    terraform.succeed(folder, "validate")
    return terraform.plan(folder, {})


@pytest.fixture
def broken(terraform: Terraform, tmp_path: Path) -> Path:
    """A copy of all modules to break."""
    return terraform.copy(tmp_path)
