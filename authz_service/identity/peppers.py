"""The file of peppers: one a line, the one in use first, older ones that still count after it."""

import re
import stat
from pathlib import Path

from authz_service.core.key_digest import Pepper
from authz_service.errors import ConfigurationError

_PEPPER = re.compile(rb"[!-~]{32,256}")
_OTHERS = stat.S_IRGRP | stat.S_IROTH


def load_peppers(file: Path) -> tuple[Pepper, ...]:
    """The peppers of a file, at least one.

    Raises:
        ConfigurationError: naming every wrong line; never a pepper.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigurationError([f"{file}: cannot be read: {error.strerror}"]) from error
    problems: list[str] = []
    peppers: dict[str, Pepper] = {}
    for number, line in enumerate(lines, start=1):
        pepper = Pepper(line)
        if not _PEPPER.fullmatch(line):
            problems.append(f"{file}:{number}: must be 32 to 256 printable characters, no space")
        elif pepper.id in peppers:
            problems.append(f"{file}:{number}: the same pepper as above")
        else:
            peppers[pepper.id] = pepper
    if not lines:
        problems.append(f"{file}: holds no pepper")
    if problems:
        raise ConfigurationError(problems)
    return tuple(peppers.values())


def others_may_read(file: Path) -> bool:
    """Whether the file's mode lets more people read it than its owner."""
    try:
        return bool(file.stat().st_mode & _OTHERS)
    except OSError:
        return False
