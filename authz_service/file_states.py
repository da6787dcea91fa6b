"""What files look like, so that a change of them is seen whoever made it, and however."""

from collections.abc import Iterable, Mapping
from pathlib import Path

Files = Mapping[Path, tuple[int, int, int] | None]
"""Each file, and what tells one state of it from another; None for one that cannot be read."""

# Seen at one look and unchanged at the next, a change is in force within half a second.
LOOK_INTERVAL_S = 0.15


def look(files: Iterable[Path]) -> Files:
    """How these files are now."""
    return {file: _seen(file) for file in files}


def _seen(file: Path) -> tuple[int, int, int] | None:
    """Which file it is, how long, and since when."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # missing, or a fragment's name that no file can have
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)
