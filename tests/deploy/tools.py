"""The programs that judge deployments: those of `make test-deploy`, else those of the machine."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_INSTALLED = ROOT / ".venv-deploy" / "bin"


def tool(name: str) -> Path:
    """The program of this name. Without it the test is skipped, saying so."""
    found = shutil.which(name, path=os.pathsep.join([str(_INSTALLED), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return Path(found)
