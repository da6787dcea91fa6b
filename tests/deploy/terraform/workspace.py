"""Terraform, run against the stand-in provider on copies of the modules."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from tests.deploy.terraform.schema import MODULES
from tests.deploy.tools import ROOT, tool

Json = dict[str, Any]


class Done(NamedTuple):
    """How a run ended, and everything that it said."""

    code: int
    said: str


class Terraform:
    """Use it as a context manager: the provider runs as long. Without its programs tests skip."""

    def __init__(self) -> None:
        self._program = tool("terraform")
        self._folder = Path(tempfile.mkdtemp(prefix="terraform-"))
        self._provider = _start("provider", str(self._folder / "socket"))
        assert self._provider.stdout is not None
        attach = self._provider.stdout.readline()
        assert attach, "the provider did not start, and Terraform would ask the network for one"
        (self._folder / "rc").touch()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TF_REATTACH_PROVIDERS": attach,
            "TF_CLI_CONFIG_FILE": str(self._folder / "rc"),
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_ARGS": "-no-color",
            "CHECKPOINT_DISABLE": "1",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._provider.terminate()
        self._provider.communicate(timeout=10)
        shutil.rmtree(self._folder)

    def copy(self, folder: Path) -> Path:
        """All modules, copied to where they may be broken and leave files."""
        return shutil.copytree(MODULES, folder / "terraform")

    def run(self, folder: Path, *arguments: str) -> Done:
        """One command in a folder."""
        done = subprocess.run(
            [self._program, *arguments],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=50,
        )
        return Done(done.returncode, done.stdout)

    def succeed(self, folder: Path, *arguments: str) -> str:
        """One command that must not fail."""
        done = self.run(folder, *arguments)
        assert done.code == 0, done.said
        return done.said

    def plan(self, folder: Path, variables: Json) -> Json:
        """What would be made, as Terraform shows it in JSON."""
        (folder / "test.auto.tfvars.json").write_text(json.dumps(variables))
        self.succeed(folder, "init", "-input=false")
        self.succeed(folder, "plan", "-input=false", "-out=planned")
        plan: Json = json.loads(self.succeed(folder, "show", "-json", "planned"))
        return plan


class Judge:
    """The linter or the walker, running: they take longer to start than to answer."""

    def __init__(self, program: str) -> None:
        self._process = _start(program)

    def ask(self, question: Json) -> Any:  # noqa: ANN401 - JSON
        """Its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        """It ends when there is nothing more to read."""
        self._process.communicate(timeout=10)
        assert self._process.returncode == 0


def _python() -> Path:
    python = ROOT / ".venv-deploy" / "bin" / "python"
    if not python.exists():
        pytest.skip("the environment of `make test-deploy` is not installed")
    return python


def _start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [_python(), "-m", f"tests.deploy.terraform.{program}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
