"""The modules are what Terraform and the provider's schema ask for, and mistakes are caught."""

import json
import re
from pathlib import Path

import pytest

from tests.deploy.terraform.schema import MODULES, read_schema, resources_in_use
from tests.deploy.terraform.workspace import Json, Terraform

pytestmark = pytest.mark.deploy

FOLDERS = ["modules/security", "modules/edge", "modules/redis", "modules/identity", "envs/example"]
SECURITY = "modules/security/cloud-armor.tf"
IDENTITY = "modules/identity/main.tf"

FAULTS = {
    "a word for a number": (
        SECURITY,
        "priority    = local.rate_ban",
        'priority    = "last"',
        'attribute "priority": a number is required',
    ),
    "an argument in the wrong block": (
        SECURITY,
        "preview     = var.rate_ban.preview",
        'src_ip_ranges = ["*"]',
        'An argument named "src_ip_ranges" is not expected here',
    ),
    "a misspelt argument": (
        SECURITY,
        "enforce_on_key   =",
        "enforce_on_keys  =",
        'Did you mean "enforce_on_key"?',
    ),
    "a missing argument": (
        SECURITY,
        'exceed_action    = "deny(429)"',
        "",
        'The argument "exceed_action" is required',
    ),
    "a block that stands twice": (
        SECURITY,
        "adaptive_protection_config {",
        "adaptive_protection_config {}\n  adaptive_protection_config {",
        "No more than 1",
    ),
    "a value that is not allowed": (
        SECURITY,
        'json_parsing            = "STANDARD"',
        'json_parsing            = "STANDART"',
        "expected json_parsing to be one of",
    ),
    "a value that is not allowed, of a server": (
        "modules/redis/main.tf",
        '"SERVER_AUTHENTICATION"',
        '"SERVER"',
        "expected transit_encryption_mode to be one of",
    ),
    "a reference to nothing": (
        IDENTITY,
        "google_service_account.workload[each.key].name",
        "google_service_account.workloads[each.key].name",
        "Reference to undeclared resource",
    ),
    "an attribute that does not exist": (
        "modules/edge/outputs.tf",
        "google_compute_global_address.api.address",
        "google_compute_global_address.api.ip",
        "no argument, nested block, or exported attribute named",
    ),
    "a block of the beta provider": (
        SECURITY,
        "enable          = var.adaptive_protection",
        "enable = true\n      auto_deploy_config {}",
        'Blocks of type "auto_deploy_config" are not expected here',
    ),
}

UNTESTED = {
    "the ban above the WAF": (
        "modules/security",
        (SECURITY, "rate_ban      = 2147483000", "rate_ban      = 2500"),
        "order_is_addresses_threats_waf_rate_default",
    ),
    "everything enforced at once": (
        "modules/security",
        (SECURITY, "!contains(var.waf_enforced, rule.key)", "false"),
        "sets_are_in_preview_until_they_are_enforced",
    ),
    "a server without TLS": (
        "modules/redis",
        ("modules/redis/main.tf", '"SERVER_AUTHENTICATION"', '"DISABLED"'),
        "nobody_connects_without_tls_and_password",
    ),
    "files for everyone": (
        "modules/identity",
        (IDENTITY, "workload => it if it.files", "workload => it"),
        "only_who_works_on_files_reaches_them",
    ),
}


def test_files_are_formatted(terraform: Terraform) -> None:
    """As `terraform fmt` would write them."""
    assert terraform.run(MODULES, "fmt", "-check", "-recursive") == (0, "")


def test_the_schema_is_of_the_resources_in_use() -> None:
    """Neither one too few, which would be refused, nor one too many."""
    assert sorted(read_schema()) == resources_in_use()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_passes_its_own_tests(terraform: Terraform, broken: Path, folder: str) -> None:
    """It is valid, and `terraform test` finds what its files say."""
    terraform.succeed(broken / folder, "init", "-input=false")
    terraform.succeed(broken / folder, "validate")
    said = terraform.succeed(broken / folder, "test")

    assert re.search(r"Success! [1-9]\d* passed, 0 failed", said), said


def test_the_example_is_made_by_one_apply(terraform: Terraform, broken: Path) -> None:
    """The next plan has nothing to do, and the names that the cluster needs are put out."""
    folder = broken / "envs" / "example"
    (folder / "terraform.tfvars.example").rename(folder / "terraform.tfvars")
    terraform.succeed(folder, "init", "-input=false")
    terraform.succeed(folder, "apply", "-auto-approve", "-input=false")

    assert terraform.run(folder, "plan", "-detailed-exitcode").code == 0
    put_out: Json = json.loads(terraform.succeed(folder, "output", "-json"))
    assert put_out["files_url"]["value"] == "gs://example-project-imagen-files"
    assert {"jobs-url", "jobs-ca", "counters-url", "counters-ca"} <= put_out["secrets"][
        "value"
    ].keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_module_is_refused(terraform: Terraform, broken: Path, fault: str) -> None:
    """Validation says which, or the plan where a rule's block is only known then."""
    file, right, wrong, says = FAULTS[fault]
    change(broken / file, right, wrong)

    command = "plan" if file == SECURITY else "validate"
    done = terraform.run((broken / file).parent, command)
    assert done.code == 1
    assert says in " ".join(done.said.replace("│", " ").split())


@pytest.mark.parametrize("fault", UNTESTED)
def test_a_valid_fault_fails_a_test(terraform: Terraform, broken: Path, fault: str) -> None:
    """What a schema cannot know, a module's own tests do."""
    folder, (file, right, wrong), test = UNTESTED[fault]
    change(broken / file, right, wrong)

    terraform.succeed(broken / folder, "validate")
    (file_of_test,) = (it for it in (broken / folder / "tests").iterdir() if test in it.read_text())
    done = terraform.run(broken / folder, "test", f"-filter=tests/{file_of_test.name}")
    assert done.code == 1
    assert f'run "{test}"... fail' in done.said


def change(file: Path, right: str, wrong: str) -> None:
    """Put a fault where something right was, once."""
    text = file.read_text()
    assert text.count(right) == 1
    file.write_text(text.replace(right, wrong))
