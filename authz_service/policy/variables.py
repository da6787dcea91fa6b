"""`${NAME}`: how a value of a policy asks for one of the environment."""

import re
from dataclasses import dataclass

_FORM = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-(.*))?\}", re.DOTALL)


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
