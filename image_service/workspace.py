"""The folder for images at hand: one for each process, gone with it.

A killed process cannot clean up. The next one does: a folder nobody holds the lock of is nobody's.
"""

import asyncio
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_PREFIX: Final = "image_service-"
_LOCK: Final = ".lock"


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, removed at the end, after those that others left behind."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        folder = Path(name)
        unseen = folder / f"{_LOCK}.new"
        with unseen.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Under its name the lock is never seen open: nobody takes a new folder for an old one.
            unseen.rename(folder / _LOCK)
            yield folder


async def opened(path: Path) -> BinaryIO:
    """The file, to be written. Cancelled or not, no thread is left that still makes it."""
    opening = asyncio.ensure_future(asyncio.to_thread(path.open, "wb"))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        (await opening).close()
        raise


def private_folder(folder: Path) -> None:
    """Make a folder that nobody else can look into, in a place where everybody can make some.

    Raises:
        ValueError: there is something else in its place.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ValueError(f"{folder} cannot be made ({error.strerror})") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ValueError(f"{folder} is not ours alone; remove it, or set another")


def _is_abandoned(folder: Path) -> bool:
    try:
        if folder.stat().st_uid != os.getuid():
            return False
        with (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
