"""A script that servers run, and what they call it."""

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Self


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name Redis knows it by: the SHA-1 of its text, in hexadecimal."""

    text: str
    digest: str

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Name a script."""
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def charge_script() -> Script:
    """Read the script that counts, from the package."""
    return Script.from_text(files("authz_service.storage").joinpath("lua/charge.lua").read_text())
