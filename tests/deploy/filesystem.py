"""What the containers of a pod see of files: volumes at their places, and this machine's programs.

The root of a container is a folder of links to this machine's own files, but for the places where
volumes are mounted. Nothing else of the pod can be seen in there.
"""

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.deploy.rendered import Object, Rendered

_HOST: Final = ".host"
_DATA: Final = "..data"
_KINDS: Final = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName")}


def on_host(path: Path | str) -> str:
    """How a container finds a file of this machine, wherever volumes are mounted in it."""
    return f"/{_HOST}{path}"


def make_volume(folder: Path, volume: Object, rendered: Rendered) -> None:
    """Fill a folder with what a volume has in it at the start."""
    folder.mkdir(parents=True)
    if "emptyDir" in volume:
        return
    ((kind, source),) = ((it, volume[it]) for it in _KINDS if it in volume)
    found = rendered.data(_KINDS[kind][0], source[_KINDS[kind][1]])
    assert found is not None, f"no {kind} for volume {volume['name']}"
    items = source.get("items") or [{"key": key, "path": key} for key in found]
    fill(folder, {item["path"]: found[item["key"]] for item in items})


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files there as a kubelet does: behind `..data`, which is renamed over."""
    version = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    for name, content in files.items():
        (version / name).write_bytes(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_DATA}/{name}")
    temporary = folder / "..data_tmp"
    temporary.symlink_to(version.name)
    temporary.replace(folder / _DATA)


def enter(root: Path, container: Object, *, volumes: Path, hidden: Path) -> Sequence[str]:
    """The command that mounts everything and becomes the program whose command follows it.

    To be run in a mount namespace of its own. `hidden` is a folder that is empty in there.
    """
    mounts = {Path(it["mountPath"]): it for it in container.get("volumeMounts", ())}
    _link(root, Path("/"), list(mounts))
    host = root / _HOST
    host.mkdir()
    lines = [
        "set -e",
        _mount("--bind", root, root),
        _mount("--rbind", Path("/"), host),
        *(_volume(root, place, mount, volumes) for place, mount in mounts.items()),
        _mount("-t", "tmpfs", "tmpfs", host / hidden.relative_to("/")),
    ]
    if container.get("securityContext", {}).get("readOnlyRootFilesystem"):
        lines += [_mount("-o", "remount,bind,ro", it) for it in (host, root)]
    lines.append(f'exec chroot {shlex.quote(str(root))} "$@"')
    return ("/bin/sh", "-c", "\n".join(lines), "enter")


def _volume(root: Path, place: Path, mount: Object, volumes: Path) -> str:
    inside = root / place.relative_to("/")
    lines = [_mount("--bind", volumes / mount["name"], inside)]
    if mount.get("readOnly"):
        lines.append(_mount("-o", "remount,bind,ro", inside))
    return "\n".join(lines)


def _mount(*arguments: str | Path) -> str:
    return shlex.join(["mount", *map(str, arguments)])


def _link(root: Path, place: Path, mounts: Sequence[Path]) -> None:
    """Make `place` in the root: links to everything in it, but for the way to what is mounted."""
    inside = root / place.relative_to("/")
    inside.mkdir(parents=True)
    ways = {mount.parts[len(place.parts)] for mount in mounts if place in mount.parents}
    for way in ways:
        _link(root, place / way, [mount for mount in mounts if place / way in mount.parents])
    if place.is_dir() and place not in mounts:
        for entry in place.iterdir():
            if entry.name not in ways:
                (inside / entry.name).symlink_to(on_host(entry))
