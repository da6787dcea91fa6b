"""The images, built for real by buildah upon a base that mmdebstrap makes.

Base and layers stay in `build/images`: only what changed is built again. `make clean` drops them.
"""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.deploy.tools import ROOT, tool

DOCKERFILES: Final = tuple(sorted(ROOT.glob("*/Dockerfile")))
_STORE: Final = ROOT / "build" / "images"
_BASE: Final = "localhost/python:bookworm"
# gRPC needs the C++ library, which Python alone does not bring.
_PACKAGES: Final = "python3,python3-venv,python3-pip,ca-certificates,libstdc++6"
# Not a base to keep: it need not outlive a power cut, and nobody reads manuals in there.
_FAST: Final = tuple(
    f"--dpkgopt={option}"
    for option in (
        "force-unsafe-io",
        *(f"path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built image: its files, and what it says about running them."""

    name: str
    root: Path
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    healthcheck: tuple[str, ...]

    @property
    def size(self) -> int:
        """The bytes of its files, those of the base not counted."""
        own = (self.root / "opt", self.root / "usr" / "local")
        return sum(
            file.lstat().st_size for folder in own for file in folder.rglob("*") if file.is_file()
        )


class Workshop:
    """Builds images and opens them. Everything is in one folder, nothing in the machine's own."""

    def __init__(self) -> None:
        self._buildah = tool("buildah")
        self._mmdebstrap = tool("mmdebstrap")
        _STORE.mkdir(parents=True, exist_ok=True)
        self._trust = _STORE / "policy.json"
        self._trust.write_text('{"default": [{"type": "insecureAcceptAnything"}]}', "utf-8")
        self._context = _STORE / "context"
        _copy_for_its_owner(self._context)

    def prepare(self) -> None:
        """Have a base: Debian with its Python."""
        if self._run("images", "--quiet", "--filter", f"reference={_BASE}"):
            return
        container = self._run("from", "scratch")
        try:
            root = self._run("mount", container)
            command = (self._mmdebstrap, "--quiet", "--variant=essential", "--format=directory")
            _checked(*command, *_FAST, f"--include={_PACKAGES}", "bookworm", root)
            self._run("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
            self._run("commit", "--quiet", "--signature-policy", self._trust, container, _BASE)
        finally:
            self._run("rm", container)

    def build(self, dockerfile: Path, name: str) -> None:
        """Build one as `docker build` would, from a repository that its owner alone may read."""
        # A machine behind a mirror has authorities of its own; they do not stay in the image.
        authorities = "/etc/ssl/certs/ca-certificates.crt"
        own = ssl.get_default_verify_paths().cafile or authorities
        self._run(
            *("bud", "--layers", "--format", "docker", "--isolation", "chroot"),
            *("--network", "host", "--signature-policy", self._trust, "--pull-never"),
            *("--volume", f"{own}:{authorities}:ro"),
            *("--build-arg", f"BASE={_BASE}", "--build-arg", "AUTHZ=localhost/authz-service"),
            *("--tag", f"localhost/{name}", "--file", dockerfile, self._context),
        )

    @contextmanager
    def opened(self, name: str) -> Iterator[Image]:
        """Its files, to be looked at and run."""
        container = self._run("from", "--pull-never", f"localhost/{name}")
        try:
            root = Path(self._run("mount", container))
            says = json.loads(self._run("inspect", "--type", "image", f"localhost/{name}"))
            yield _image(name, root, says["Docker"]["config"])
        finally:
            self._run("rm", container)

    def _run(self, *arguments: str | Path) -> str:
        place = ("--root", _STORE / "store", "--runroot", _STORE / "run")
        return _checked(self._buildah, *place, *arguments).strip()


def _copy_for_its_owner(folder: Path) -> None:
    """The repository without what was made in it, as somebody with a strict umask has it."""
    shutil.rmtree(folder, ignore_errors=True)
    made = (".git", ".venv*", ".*_cache", ".hypothesis", "build", "node_modules", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*made))
    for file in folder.rglob("*"):
        file.chmod(file.stat().st_mode & ~0o077)


def _image(name: str, root: Path, says: Mapping[str, Any]) -> Image:
    return Image(
        name=name,
        root=root,
        command=tuple(says["Cmd"]),
        entrypoint=tuple(says["Entrypoint"]),
        environment=dict(it.split("=", 1) for it in says["Env"]),
        user=says["User"],
        healthcheck=tuple(says["Healthcheck"]["Test"]),
    )


def _checked(*command: str | Path) -> str:
    """What a program printed.

    Raises:
        AssertionError: it failed; with the end of what it said.
    """
    done = subprocess.run(
        list(map(str, command)),
        env={"STORAGE_DRIVER": "overlay", **os.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, (command, (done.stdout + done.stderr)[-2000:])
    return done.stdout
