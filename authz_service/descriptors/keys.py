"""Which keys a file may have, and where.

The service that the files come from has one list of keys for all places: a known key in a wrong
place passes there and does nothing. Here it is told.
"""

from collections.abc import Iterator
from enum import Enum

from authz_service.descriptors.problem import Problem, Rule
from authz_service.descriptors.values import Kind, Value


class Place(Enum):
    """The kinds of maps that a file is made of: how messages call them, and their keys."""

    FILE = ("the file", ("domain", "descriptors", "algorithm"))
    DESCRIPTOR = (
        "a descriptor",
        (
            *("key", "value", "rate_limit", "descriptors", "shadow_mode", "quota_mode"),
            *("detailed_metric", "value_to_metric", "share_threshold", "metadata"),
        ),
    )
    RATE_LIMIT = (
        "rate_limit",
        (
            *("unit", "requests_per_unit", "unlimited", "name", "replaces"),
            *("algorithm", "unit_multiplier", "on_store_failure"),
        ),
    )
    REPLACES = ("replaces", ("name",))

    def __init__(self, words: str, keys: tuple[str, ...]) -> None:
        self.words = words
        self.keys = keys


OUR_KEYS = frozenset({"algorithm", "unit_multiplier", "on_store_failure"})
"""Those that the other service does not know."""

_KNOWN = frozenset(key for place in Place for key in place.keys)
_LEAVES = frozenset({Kind.STRING, Kind.INT, Kind.BOOL, Kind.NULL})
_INSIDE = {
    (Place.FILE, "descriptors"): Place.DESCRIPTOR,
    (Place.DESCRIPTOR, "descriptors"): Place.DESCRIPTOR,
    (Place.DESCRIPTOR, "rate_limit"): Place.RATE_LIMIT,
    (Place.RATE_LIMIT, "replaces"): Place.REPLACES,
}


def key_problems(file: str, value: Value, place: Place | None = Place.FILE) -> Iterator[Problem]:
    """What is wrong with the keys of a map and of all in it, and with what cannot be a value.

    Nothing is asked of what stands in a misplaced key but what is asked everywhere.
    """
    for key, inner in value.pairs:
        if key.kind is not Kind.STRING:
            text = f"config error, key is not of type string: {key}"
            yield Problem(Rule.KEY_TYPE, file, key.line, text)
        elif key.text not in _KNOWN:
            text = f"config error, unknown key '{key}'"
            yield Problem(Rule.UNKNOWN_KEY, file, key.line, text)
        elif place and key.text not in place.keys:
            yield Problem(Rule.MISPLACED_KEY, file, key.line, _misplaced(key.text, place))
        if not (key.kind is Kind.STRING and key.text == "metadata"):
            inside = _INSIDE.get((place, key.text)) if place else None
            yield from _inner_problems(file, inner, inside)


def _inner_problems(file: str, value: Value, place: Place | None) -> Iterator[Problem]:
    if value.kind is Kind.MAP:
        yield from key_problems(file, value, place)
    elif value.kind is Kind.LIST:
        for item in value.items:
            if item.kind is Kind.MAP:
                yield from key_problems(file, item, place)
            else:
                text = f"config error, yaml file contains list of type other than map: {item}"
                yield Problem(Rule.LIST_ELEMENT, file, item.line, text)
    elif value.kind not in _LEAVES:
        yield Problem(Rule.LEAF, file, value.line, "error checking config")


def _misplaced(key: str, place: Place) -> str:
    home = " or ".join(it.words for it in Place if key in it.keys)
    return f"'{key}' does nothing in {place.words}; it belongs into {home}"
