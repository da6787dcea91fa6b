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


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts that count, by their main parts."""

    charge: Script
    hit: Script
    refund: Script


def counting_scripts() -> Scripts:
    """Read the scripts that count, from the package."""
    counters = _part("counters")
    charge, hit, refund = (
        Script.from_text(counters + "\n" + _part(name)) for name in ("charge", "hit", "refund")
    )
    return Scripts(charge, hit, refund)


def _part(name: str) -> str:
    return files("authz_service.storage").joinpath(f"lua/{name}.lua").read_text()
