"""Checks the merged data against the schema and says what is wrong in plain sentences."""

import difflib
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from authz_service.policy import schema
from authz_service.policy.merge import Merged
from authz_service.policy.parse import Path
from authz_service.policy.problem import Rule

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


def _report(merged: Merged, details: ErrorDetails) -> None:
    path = tuple(part for part in details["loc"] if part != "[key]")
    if details["type"] == "extra_forbidden":
        merged.report(Rule.UNKNOWN_KEY, path, f"is an unknown key{_suggestion(str(path[-1]))}")
        return
    if details["type"] == "missing":
        if not merged.is_reported(path):  # a value that could not be read was left out
            merged.report(Rule.MISSING_KEY, path, "is required")
        return
    if path and isinstance(path[-1], int) and not isinstance(merged.value(path[:-1]), list):
        path = path[:-1]  # a single value where a list may stand
    sentence = _SENTENCES.get(details["type"], details["msg"]).format(**details.get("ctx", {}))
    merged.report(Rule.VALUE, path, f"{_shown(details['input'])} {sentence}".lstrip())


def _suggestion(key: str) -> str:
    close = difflib.get_close_matches(key, _KNOWN_KEYS, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _shown(value: object) -> str:
    """The offending value; a collection is left to its line number."""
    return "" if isinstance(value, dict | list) else repr(value)
