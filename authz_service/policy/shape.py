"""Checks the merged data against the schema and says what is wrong in plain sentences."""

import difflib
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from authz_service.policy import schema
from authz_service.policy.merge import Merged
from authz_service.policy.problem import Path, Rule

_M = TypeVar("_M", bound=BaseModel)

# pydantic's error types, in our words. The braces are filled from the error's context.
_SENTENCES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be a mapping",
    "string_type": "must be a string",
    "too_short": "must not be empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}
# Where a secret stands when its author mistook what the key is for.
_NEVER_SHOWN = frozenset({"secret_env", "secret_file", "jwks_url"})
_KNOWN_KEYS = sorted(
    {
        key
        for part in vars(schema).values()
        if isinstance(part, type) and issubclass(part, BaseModel)
        for key in part.model_fields
    }
)


def check_shape(merged: Merged) -> schema.PolicyFile | None:
    """The whole file, or None with its problems reported."""
    _check_left_out(merged)
    try:
        return schema.PolicyFile.model_validate(merged.data)
    except ValidationError as error:
        for details in error.errors():
            _report(merged, details)
        return None


def well_formed(merged: Merged, key: str, model: type[_M]) -> Iterator[tuple[Path, _M]]:
    """The entries under `key` that are right in themselves, whatever is wrong elsewhere."""
    entries: Any = merged.data.get(key)
    if isinstance(entries, dict):
        places: list[tuple[str | int, Any]] = list(entries.items())
    else:
        places = list(enumerate(entries)) if isinstance(entries, list) else []
    for place, entry in places:
        try:
            yield (key, place), model.model_validate(entry)
        except ValidationError:
            continue


def _check_left_out(merged: Merged) -> None:
    """A key that a variable left out must be a key all the same."""
    for path in merged.left_out:
        try:
            schema.PolicyFile.model_validate(_with_null(merged.data, path))
        except ValidationError as error:
            for details in error.errors():
                if _is_of_key(details) and _path(details) == path:
                    _report(merged, details)


def _with_null(data: object, path: Path) -> object:
    """A copy of `data` in which `path` exists."""
    if not path:
        return None
    if isinstance(data, dict):
        return {**data, path[0]: _with_null(data.get(path[0]), path[1:])}
    if isinstance(data, list):
        return [
            _with_null(item, path[1:]) if place == path[0] else item
            for place, item in enumerate(data)
        ]
    return data


def _report(merged: Merged, details: ErrorDetails) -> None:
    path = _path(details)
    if details["type"] == "missing":
        _report_missing(merged, path)
    elif details["type"] == "extra_forbidden":
        _report_unknown(merged, path)
    else:
        _report_value(merged, path, details)


def _report_missing(merged: Merged, path: Path) -> None:
    if variable := merged.variable(path[:-1]):
        merged.report(Rule.MISSING_KEY, path[:-1], f"{variable} lacks {path[-1]}")
    elif not merged.is_reported(path):  # a value that could not be read was left out
        merged.report(Rule.MISSING_KEY, path, "is required")


def _report_unknown(merged: Merged, path: Path) -> None:
    if variable := merged.variable(path[:-1]):
        merged.report(Rule.UNKNOWN_KEY, path[:-1], f"{variable} has an unknown key")
    else:
        merged.report(Rule.UNKNOWN_KEY, path, f"is an unknown key{_suggestion(str(path[-1]))}")


def _report_value(merged: Merged, path: Path, details: ErrorDetails) -> None:
    if path and isinstance(path[-1], int) and not isinstance(merged.value(path[:-1]), list):
        path = path[:-1]  # a single value where a list may stand
    sentence = _SENTENCES.get(details["type"], details["msg"]).format(**details.get("ctx", {}))
    variable = merged.variable(path[:-1] if _is_of_key(details) else path)
    hidden = bool(path) and path[-1] in _NEVER_SHOWN
    shown = str(variable) if variable else "" if hidden else _shown(details["input"])
    merged.report(Rule.VALUE, path, f"{shown} {sentence}".lstrip())


def _path(details: ErrorDetails) -> Path:
    return tuple(part for part in details["loc"] if part != "[key]")


def _is_of_key(details: ErrorDetails) -> bool:
    """Whether the name of a key is wrong, rather than its value."""
    return details["type"] == "extra_forbidden" or details["loc"][-1:] == ("[key]",)


def _suggestion(key: str) -> str:
    if key in _KNOWN_KEYS:
        return " here"
    close = difflib.get_close_matches(key, _KNOWN_KEYS, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _shown(value: object) -> str:
    """The offending value; a collection is left to its line number."""
    return "" if isinstance(value, dict | list) else repr(value)
