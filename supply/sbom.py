"""What the images install, one CycloneDX document an image: `make sbom` writes them.

A document follows from the lock file of its image and from nothing else that changes: no time, no
serial number. Versions are the lock's; licences are those that the same versions state in `.venv`.
Hashes stay in the lock files, which have those of every platform's wheel. What the base image
brings, Debian's packages and Python itself, is in the base image's own bill.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from authz_service import __version__

ROOT: Final = Path(__file__).parents[1]
IMAGES: Final = {
    "authz-service": ("authz",),
    "authz-envoy": ("authz", "envoy"),  # made from the image above
    "image-service": ("image",),
}
"""The images, and the lock files that each installs."""

_CLASSIFIER: Final = "License :: "


def document(image: str, *, python: str) -> dict[str, object]:
    """The bill of an image whose Python is of this version, as `3.13` or `3.13.1`."""
    pins = {pin.name: pin for lock in IMAGES[image] for pin in pinned(lock, python=python)}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _image(image)},
        "components": [_component(pin) for _, pin in sorted(pins.items())],
    }


def pinned(lock: str, *, python: str) -> Iterable[Requirement]:
    """What a lock file installs on Linux with this Python."""
    target = {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
    }
    text = (ROOT / f"requirements-{lock}.lock").read_text("utf-8")
    for line in re.findall(r"^[a-z0-9][^\\\n]+", text, re.MULTILINE):
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(target):
            yield pin


def python_of_images() -> str:
    """The Python of the base that the sidecar's Dockerfile names."""
    dockerfile = (ROOT / "authz_service" / "Dockerfile").read_text("utf-8")
    (version,) = re.findall(r"^ARG BASE=\S+/python:(\d+\.\d+)", dockerfile, re.MULTILINE)
    return str(version)


def _image(name: str) -> dict[str, object]:
    return {
        "type": "container",
        "bom-ref": name,
        "name": name,
        "version": __version__,
        "licenses": [{"expression": "Apache-2.0"}],
    }


def _component(pin: Requirement) -> dict[str, object]:
    version = str(pin.specifier).removeprefix("==")
    purl = f"pkg:pypi/{pin.name}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": pin.name,
        "version": version,
        "purl": purl,
        "licenses": _licences(pin.name),
    }


def _licences(package: str) -> list[dict[str, object]]:
    """An SPDX expression where there is one, else the words that the package uses.

    A package that only another Python needs is not installed here, and states nothing.
    """
    try:
        stated = metadata(package)
    except PackageNotFoundError:
        return []
    for expression in stated.get_all("License-Expression", []):
        return [{"expression": expression}]
    classifiers = [it for it in stated.get_all("Classifier", []) if it.startswith(_CLASSIFIER)]
    names = [it.rpartition(" :: ")[2] for it in classifiers] or stated.get_all("License", [])
    return [{"license": {"name": name.partition("\n")[0]}} for name in names]


def main(arguments: Sequence[str]) -> None:
    """Write every document into the folder that is named."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        bill = document(image, python=python_of_images())
        (folder / f"{image}.cdx.json").write_text(json.dumps(bill, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
