"""The sidecar's `x-authz-limits` header → the limits a client is told about.

The value is a List of Strings with Integer parameters (RFC 9651, sections 3.1 and 3.1.2).
"""

import re
from dataclasses import dataclass

_NAME = r'"(?P<name>(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
# An Integer has at most 15 digits (RFC 9651, section 3.3.1).
_PARAMETERS = r"(?P<parameters>(?:; *[a-z*][a-z0-9_.*-]*=-?[0-9]{1,15})*)"
_MEMBER = re.compile(_NAME + _PARAMETERS)
_PARAMETER = re.compile(r"; *(?P<key>[^=]+)=(?P<value>-?[0-9]+)")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_ESCAPE = re.compile(r"\\(.)")
_KEYS = frozenset("qrwt")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of the caller. Times are whole seconds."""

    name: str
    limit: int
    remaining: int
    window_seconds: int
    reset_seconds: int


def parse_limits(value: str) -> tuple[Limit, ...]:
    """Read the header's value; nothing at all means no limits.

    Raises:
        ValueError: not a list of limits, or a limit lacks `q`, `r`, `w` or `t`, repeats one,
            or counts below zero.
    """
    limits: list[Limit] = []
    position = 0
    text = value.strip(" ")
    while position < len(text):
        if limits:
            position = _after_comma(text, position)
        member = _MEMBER.match(text, position)
        if member is None:
            raise ValueError(f"not a limit at character {position}")
        limits.append(_limit(member))
        position = member.end()
    return tuple(limits)


def _after_comma(text: str, position: int) -> int:
    comma = _COMMA.match(text, position)
    if comma is None:
        raise ValueError(f"not a list at character {position}")
    return comma.end()


def _limit(member: re.Match[str]) -> Limit:
    pairs = [
        (pair["key"], int(pair["value"])) for pair in _PARAMETER.finditer(member["parameters"])
    ]
    counts = {key: count for key, count in pairs if key in _KEYS}
    if len(counts) != len(_KEYS) or len(counts) != sum(key in _KEYS for key, _ in pairs):
        raise ValueError("a limit needs q, r, w and t exactly once")
    if min(counts.values()) < 0:
        raise ValueError("a limit counts from zero")
    return Limit(
        name=_ESCAPE.sub(r"\1", member["name"]),
        limit=counts["q"],
        remaining=counts["r"],
        window_seconds=counts["w"],
        reset_seconds=counts["t"],
    )
