"""`${NAME}`: how a value of a policy asks for one of the environment."""

import json
import re
from dataclasses import dataclass
from typing import cast

_FORM = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-(.*))?\}", re.DOTALL)

# What means the same in a file without quotes; up to eighteen digits fit into 64 bits.
_NUMBER_OR_TRUTH = re.compile(r"true|false|0|-?[1-9][0-9]{0,17}")


class VariableText(str):
    """Text of the environment. Only the key that it is for knows whether digits are a number."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Variable:
    """What stands in the file. Without a `default` the variable has to be set."""

    name: str
    default: str | None

    def __str__(self) -> str:
        """`${NAME}`, which messages show in place of the value."""
        return f"${{{self.name}}}"


def find_variable(text: str) -> Variable | None:
    """The variable that `text` is as a whole: nothing is spliced into other text."""
    found = _FORM.fullmatch(text)
    return Variable(found[1], found[2]) if found else None


def number_or_truth(value: object) -> object:
    """What a variable spells, for a key that takes a whole number or a boolean.

    A string of the file, and all that spells neither, is left as it is.
    """
    if isinstance(value, VariableText) and _NUMBER_OR_TRUTH.fullmatch(value):
        return cast("object", json.loads(value))
    return value
