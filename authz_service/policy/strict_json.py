"""JSON text to plain data, stricter than JSON: an object names each of its members once."""

import json

from authz_service.policy.problem import Path


class RepeatedMemberError(ValueError):
    """An object names a member twice. `path` leads to the object."""

    def __init__(self, path: Path) -> None:
        super().__init__("an object names a member twice")
        self.path = path


def read_json(text: str) -> object:
    """What `text` says.

    Raises:
        RepeatedMemberError: which of two values counts would depend on the reader.
        ValueError: this is no JSON, or it nests too deeply.
    """
    repeating: list[object] = []

    def members(pairs: list[tuple[str, object]]) -> object:
        found = dict(pairs)
        if len(found) < len(pairs):
            repeating.append(found)
        return found

    try:
        data = json.loads(text, object_pairs_hook=members)
    except RecursionError:
        raise ValueError("nests too deeply") from None
    if repeating:
        # Objects end from the inside out: none around the last one has lost it.
        raise RepeatedMemberError(_path_to(repeating[-1], data))
    return data


def _path_to(wanted: object, data: object) -> Path:
    waiting: list[tuple[Path, object]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if value is wanted:
            return path
        if isinstance(value, dict):
            waiting += [((*path, name), member) for name, member in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, place), item) for place, item in enumerate(value)]
    return ()
