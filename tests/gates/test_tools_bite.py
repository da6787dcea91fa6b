"""Each gate is shown something bad and must refuse it: a gate that lets all pass is none."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HEAD = '"""A module."""\n\n'


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run one of the tools of `make check`."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def ruff(source: str, name: str) -> subprocess.CompletedProcess[str]:
    """Lint a text as if it stood in the file `name`."""
    command = [BIN / "ruff", "check", "--no-cache", "--stdin-filename", name, "-"]
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


BAD = {
    "wall clock": ("TID251", "import time\n\n\nSTARTED = time.time()\n"),
    "monotonic clock": ("TID251", "import time\n\n\nSTARTED = time.monotonic()\n"),
    "datetime clock": ("TID251", "from datetime import UTC, datetime\n\nX = datetime.now(UTC)\n"),
    "random id": ("TID251", "import uuid\n\nX = uuid.uuid4()\n"),
    "randomness": ("TID251", "import random\n\nX = random.random()\n"),
    "relative import": ("TID252", "from .rules import Rate\n\n__all__ = ['Rate']\n"),
    "print": ("T201", "print(1)\n"),
    "no docstring": ("D103", "def public() -> None:\n    return\n"),
    "no annotation": ("ANN001", 'def public(value) -> None:\n    """Do it."""\n'),
    "swallowed exception": ("BLE001", "try:\n    X = 1\nexcept Exception:\n    X = 2\n"),
    "task without owner": (
        "RUF006",
        "import asyncio\n\n\nasync def go() -> None:\n    asyncio.create_task(asyncio.sleep(1))\n",
    ),
    "unused code": ("F841", 'def go() -> None:\n    """Go."""\n    unused = 1\n'),
    "naive datetime": ("DTZ001", "from datetime import datetime\n\nX = datetime(2026, 1, 1)\n"),
}


@pytest.mark.parametrize(("code", "source"), BAD.values(), ids=BAD.keys())
def test_the_linter_refuses(code: str, source: str) -> None:
    """Each habit we do not want is refused, under its own code."""
    found = ruff(HEAD + source, "authz_service/core/sample.py")
    assert found.returncode == 1
    assert f"{code} " in found.stdout


def test_the_linter_lets_good_code_pass() -> None:
    """The refusals above are not for the sample's name or place."""
    good = 'def double(value: int) -> int:\n    """Twice the value."""\n    return 2 * value\n'
    assert ruff(HEAD + good, "authz_service/core/sample.py").returncode == 0


BADLY_TYPED = """
import json


def no_untyped_def(value):
    return value


def no_any_return() -> int:
    return json.loads("1")


def unreachable(value: int) -> int:
    if isinstance(value, str):
        return 1
    return value


type_arg: list = []
attr_defined = json.nothing
ignore_without_code: int = ""  # type: ignore
"""
CODES = "no-untyped-def no-any-return unreachable type-arg attr-defined ignore-without-code"


def test_the_type_checker_refuses(tmp_path: Path) -> None:
    """Everything that strict typing forbids is refused under our own configuration."""
    sample = tmp_path / "sample.py"
    sample.write_text(BADLY_TYPED)
    config, cache = f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={tmp_path / 'cache'}"
    found = run(BIN / "mypy", config, cache, sample)
    assert found.returncode == 1
    assert [code for code in CODES.split() if f"[{code}]" not in found.stdout] == []


BAD_IMPORTS = {
    "core does I/O": ("authz_service/core/match.py", "import asyncio", "The core decides"),
    "core reads a clock": (
        "authz_service/core/match.py",
        "import authz_service.clock",
        "The core decides",
    ),
    "core reaches upwards": (
        "authz_service/core/match.py",
        "import authz_service.engine",
        "The sidecar",
    ),
    "storage reaches upwards": (
        "authz_service/storage/base.py",
        "import authz_service.engine",
        "The sidecar",
    ),
    "protobuf outside wire": (
        "authz_service/engine.py",
        "import authz_service.wire.pb.health_pb2",
        "Generated",
    ),
    "redis outside storage": (
        "authz_service/identity/api_keys.py",
        "import redis",
        "Redis is spoken",
    ),
    "a queue outside storage": (
        "image_service/worker.py",
        "import saq",
        "The image service speaks",
    ),
    "a store by name": (
        "authz_service/serve.py",
        "import authz_service.storage.memory",
        "Only the composition",
    ),
    "test helpers at work": (
        "authz_service/app.py",
        "import authz_service.testing.clock",
        "Test helpers",
    ),
    "spans elsewhere": (
        "image_service/worker.py",
        "import opentelemetry",
        "Spans are made",
    ),
    "one service in the other": (
        "authz_service/clock.py",
        "import image_service",
        "The two services",
    ),
}


def test_the_import_rules_refuse(tmp_path: Path) -> None:
    """In a copy of the tree the rules hold; with one bad import each, every rule is broken."""
    copy_tree(tmp_path)
    before = import_rules(tmp_path)
    assert before.returncode == 0
    for file, line, _ in BAD_IMPORTS.values():
        module = tmp_path / file
        module.write_text(f"{module.read_text()}\n{line}\n")
    after = import_rules(tmp_path)
    assert after.returncode == 1
    contracts = [
        line.partition(" KEPT")[0] for line in before.stdout.splitlines() if "KEPT" in line
    ]
    assert len(contracts) >= len({rule for _, _, rule in BAD_IMPORTS.values()})
    assert [rule for rule in contracts if f"{rule} BROKEN" not in after.stdout] == []
    for file, line, rule in BAD_IMPORTS.values():
        importer = file.removesuffix(".py").replace("/", ".")
        assert any(contract.startswith(rule) for contract in contracts)
        assert f"{importer} -> {line.removeprefix('import ')}" in after.stdout


def copy_tree(folder: Path) -> None:
    """The sources and the rules, to be broken."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("authz_service", "image_service"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )


def import_rules(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import rules of a tree; the folder itself comes first on the path."""
    start = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command"
    return run(sys.executable, "-c", f"{start}; lint_imports_command(['--no-cache'])", cwd=folder)
