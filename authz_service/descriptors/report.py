"""What changes for files that another rate limit service has read until now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from authz_service.core.descriptors import Algorithm, Unit
from authz_service.descriptors.compile import PlacedLimit
from authz_service.descriptors.keys import OUR_KEYS
from authz_service.descriptors.problem import Problem, Rule
from authz_service.descriptors.sources import Examined
from authz_service.descriptors.values import Value

_LONG_UNITS = {Unit.MONTH: "30 days", Unit.YEAR: "365 days"}


@dataclass(frozen=True, slots=True)
class Change:
    """One sentence about one place. `line` 0 is the whole file."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


def wrong_everywhere(examined: Examined) -> list[Problem]:
    """The problems that the other service has with the files as well, or that we have alone.

    Without the misplaced keys: it reads over them.
    """
    return [it for it in examined.problems if it.rule is not Rule.MISPLACED_KEY]


def changes(examined: Examined, hidden: Sequence[str]) -> list[Change]:
    """Every difference, in reading order. `hidden` are the names that a folder hides from us."""
    found = [
        *_of_limits(examined.compiled.limits),
        *_of_keys(examined),
        *(Change(name, 0, "is not read: its name begins with a dot") for name in hidden),
        *(
            Change(name, 0, "only its first document is read, there as here")
            for name in examined.further
        ),
    ]
    return sorted(found, key=lambda it: (it.file, it.line))


def _of_limits(limits: Sequence[PlacedLimit]) -> Iterator[Change]:
    for it in limits:
        name, unit = ".".join(it.names), it.limit.unit
        if unit and it.limit.algorithm is Algorithm.EXACT:
            text = (
                f"{name} counts in a window that slides, and refused calls do not count;"
                " algorithm: fixed counts as before"
            )
            yield Change(it.file, it.line, text)
        if unit in _LONG_UNITS:
            text = (
                f"{name}: a {unit.name.lower()} has {_LONG_UNITS[unit]}, there as here;"
                " in a policy it would follow the calendar"
            )
            yield Change(it.file, it.line, text)


def _of_keys(examined: Examined) -> Iterator[Change]:
    for problem in examined.problems:
        if problem.rule is Rule.MISPLACED_KEY:
            text = f"{problem.text}; it was passed over, and is an error now"
            yield Change(problem.file, problem.line, text)
    for file, value in examined.documents.items():
        for key in _our_keys(value):
            yield Change(file, key.line, f"'{key}' is known here only: the file cannot go back")


def _our_keys(value: Value) -> Iterator[Value]:
    for key, inner in value.pairs:
        if key.text in OUR_KEYS:
            yield key
        if key.text != "metadata":
            yield from _our_keys(inner)
    for item in value.items:
        yield from _our_keys(item)
