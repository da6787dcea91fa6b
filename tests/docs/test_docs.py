"""What the documents say is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from authz_service.core.api_key import ApiKeyRecord, is_ours
from authz_service.errors import ConfigurationError
from authz_service.identity.api_keys import Source, load_api_keys
from authz_service.policy.sources import load_policy
from authz_service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def test_the_policy_guide_shows_a_policy_that_loads(tmp_path: Path) -> None:
    """Copied from the guide, it is accepted."""
    file = tmp_path / "policy.yaml"
    file.write_text(policy_examples()[0], encoding="utf-8")

    assert [route.name for route in load_policy(file, {}).routes] == ["read", "write", "health"]


def test_the_policy_guide_shows_a_fragment_that_fits_its_policy(tmp_path: Path) -> None:
    """Copied from the guide, it limits the routes of the policy above it."""
    (fragment,) = re.findall(r"```yaml limits.yaml\n(.*?)```", text(DOCS / "policy.md"), re.DOTALL)
    (tmp_path / "limits.yaml").write_text(fragment, encoding="utf-8")
    file = tmp_path / "policy.yaml"
    file.write_text(policy_examples()[0] + "include: [limits.yaml]\n", encoding="utf-8")

    routes = load_policy(file, {}).routes
    limits = {route.name: [limit.name for limit in route.limits] for route in routes}
    assert limits == {"read": ["reads"], "write": ["writes", "bursts"], "health": []}


def test_the_policy_guide_shows_a_key_file_that_loads(tmp_path: Path) -> None:
    """Copied from the guide, it fits the policy above it, and its one plain key is refused."""
    policy, key_file = policy_examples()
    file = tmp_path / "policy.yaml"
    file.write_text(policy, encoding="utf-8")
    tiers = load_policy(file, {}).tiers

    keys = load_api_keys([Source("keys.yaml", key_file, is_yaml=True)], tiers=tiers)

    assert len(keys) == 4
    record = keys.find(b"trial-key-of-2025")
    assert isinstance(record, ApiKeyRecord)
    assert record.disabled


def test_the_policy_guide_shows_what_check_policy_prints(tmp_path: Path) -> None:
    """The policy and the broken file of the guide, judged by the real command."""
    (tmp_path / "policy.yaml").write_text(policy_examples()[0], encoding="utf-8")
    (tmp_path / "broken.yaml").write_text(
        "version: 1\n"
        "upstream: {address: '127.0.0.1:8080'}\n"
        "tiers:\n"
        "  free: {rate: 10/fortnight, max_upload: 1MB}\n"
        "routes:\n"
        "  - name: read\n"
        "    atuhentication: none\n"
        "    match: {method: GET, path: /}\n",
        encoding="utf-8",
    )

    assert shell(DOCS / "policy.md", tmp_path) == [0, 2]


def test_the_explain_guide_shows_what_explain_prints(tmp_path: Path) -> None:
    """Every command of the page, one after the other, with the policy of the policy guide."""
    (tmp_path / "policy.yaml").write_text(policy_examples()[0], encoding="utf-8")
    (check,) = re.findall(r"\$ cat check.json\n(.*?)\$ ", text(DOCS / "explain.md"), re.DOTALL)
    (tmp_path / "check.json").write_text(check, encoding="utf-8")

    assert shell(DOCS / "explain.md", tmp_path) == [0, 0, 0, 3, 0, 3]


def test_the_guide_to_keys_shows_a_key_that_could_be_one() -> None:
    """To the last character of its checksum."""
    (shown,) = re.findall(r"^sk_\w+$", text(DOCS / "keys.md"), re.MULTILINE)

    assert is_ours(shown.encode())


def test_the_guide_to_keys_shows_entries_that_load() -> None:
    """As `API_KEYS`, whatever peppers there are."""
    shown, _ = re.findall(r"```json\n(.*?)```", text(DOCS / "keys.md"), re.DOTALL)

    assert len(load_api_keys([Source("API_KEYS", shown)], tiers=["member"], peppers=None)) == 1


def test_the_guide_to_keys_has_every_field() -> None:
    """In the order in which an error names them."""
    with pytest.raises(ConfigurationError) as caught:
        load_api_keys([Source("API_KEYS", '[{"unknown": 1}]')], tiers=None)
    (known,) = {it.partition("known are ")[2] for it in caught.value.problems} - {""}
    fields = text(DOCS / "keys.md").partition("## Fields")[2].partition("## What")[0]

    documented = re.findall(r"^\| `(\w+)` \|", fields, re.MULTILINE)
    assert documented == known.split(", ")


def test_every_setting_is_documented_as_it_is() -> None:
    """One row for each variable, with its flag, its default and its meaning."""
    sidecar, _, _ = text(DOCS / "settings.md").partition("## The image service")
    documented = [line for line in sidecar.splitlines() if line[:3] == "| `"]

    expected = [row(name, field) for name, field in Settings.model_fields.items()]
    assert documented == expected, "\n".join(["docs/settings.md should say:", *expected])


def test_every_setting_of_the_image_service_is_documented() -> None:
    """One row for each variable that it reads; what stands there is for its own tests."""
    _, _, section = text(DOCS / "settings.md").partition("## The image service")
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    source = text(DOCS.parent / "image_service" / "settings.py")

    assert sorted(documented) == sorted(set(re.findall(r'"(IMAGE_\w+|OTEL_\w+|DEBUG)"', source)))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Relative links name files that exist."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(document))

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_way_of_a_request_names_files_that_exist() -> None:
    """Every path in backquotes is there."""
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)+\.(?:py|lua))`", text(DOCS / "request-path.md"))

    assert len(named) > 10
    missing = [
        path
        for path in named
        if not ((ROOT / path).exists() or (ROOT / "authz_service" / path).exists())
    ]
    assert missing == []


def policy_examples() -> tuple[str, str]:
    """The policy and the key file that the guide shows."""
    policy, key_file = re.findall(r"```yaml\n(.*?)```", text(DOCS / "policy.md"), re.DOTALL)
    return policy, key_file


def shell(document: Path, folder: Path) -> list[int]:
    """Run the commands of a page and return their exit codes. `...` stands for anything."""
    exported: list[str] = []
    codes = []
    for block in re.findall(r"```console\n(.*?)```", text(document), re.DOTALL):
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            done = subprocess.run(
                ["bash", "-c", "\n".join([*exported, command])],
                cwd=folder,
                env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            pattern = ".*".join(re.escape(part) for part in shown.split("..."))
            printed = done.stdout + done.stderr
            assert re.fullmatch(pattern, printed), f"{command}\nprinted: {printed}"
            exported += [command] if command.startswith("export ") else []
            codes.append(done.returncode)
    return codes


def row(name: str, field: FieldInfo) -> str:
    """A row of the table of settings."""
    flag = "" if field.annotation is SecretStr else f"`--{name.replace('_', '-')}`"
    return f"| `{field.alias}` | {flag} | {default(field)} | {field.description} |"


def default(field: FieldInfo) -> str:
    """A default as people read it."""
    if field.is_required():
        return "required"
    value = field.default
    if value is None or (isinstance(value, SecretStr) and not value.get_secret_value()):
        return ""
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def text(file: Path) -> str:
    """What a file says."""
    return file.read_text(encoding="utf-8")
