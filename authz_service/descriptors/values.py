"""YAML text to values that know their line and still have the text they were written in.

YAML 1.1 as the files' own service reads it: what a plain scalar stands for follows its rules, the
last of equal keys wins, `<<` merges, only the first document counts. Aliases are followed, within
bounds: a short text must not stand for a large one.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import yaml

MAX_DEPTH = 100
MAX_VALUES = 200_000
MAX_TEXT = 4 << 20

_PLAIN, _TEXT = "!plain", "tag:yaml.org,2002:str"
_LIST, _MAP = "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_INTEGERS = {
    10: re.compile(r"[-+]?(?:0|[1-9][0-9_]*)"),
    2: re.compile(r"[-+]?0[bB][01_]*[01][01_]*"),
    8: re.compile(r"[-+]?0[oO]?[0-7_]*[0-7][0-7_]*"),
    16: re.compile(r"[-+]?0[xX][0-9a-fA-F_]*[0-9a-fA-F][0-9a-fA-F_]*"),
}
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_INT_64 = range(-(1 << 63), 1 << 63)
_EXPONENTS_FROM = 1e21
_MAX_INTEGER_TEXT = 80  # Python takes its time with the digits of large numbers


class Kind(StrEnum):
    """What a value is, spelled as in the messages about it."""

    NULL = "!!null"
    BOOL = "!!bool"
    INT = "!!int"
    FLOAT = "!!float"  # integers beyond 64 bits too
    STRING = "!!str"
    LIST = "!!seq"
    MAP = "!!map"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value, or one key. `text` is a scalar as it was written, `number` an integer's value."""

    kind: Kind
    line: int
    text: str = ""
    number: int = 0
    items: tuple["Value", ...] = ()
    pairs: tuple[tuple["Value", "Value"], ...] = ()

    @property
    def is_true(self) -> bool:
        """Whether this is a boolean that says yes."""
        return self.kind is Kind.BOOL and self.text in _TRUE

    def get(self, key: str) -> "Value | None":
        """What a map has under a key; nothing where that is null."""
        for name, value in self.pairs:
            if name.kind is Kind.STRING and name.text == key:
                return None if value.kind is Kind.NULL else value
        return None

    def __str__(self) -> str:
        """The value in the words of messages."""
        if self.kind is Kind.NULL:
            return "<nil>"
        if self.kind is Kind.BOOL:
            return "true" if self.is_true else "false"
        if self.kind is Kind.INT:
            return str(self.number)
        if self.kind is Kind.LIST:
            return f"[{' '.join(map(str, self.items))}]"
        if self.kind is Kind.MAP:
            return f"map[{' '.join(f'{key}:{value}' for key, value in self.pairs)}]"
        return _number_in_words(self.text) if self.kind is Kind.FLOAT else self.text


class NotYamlError(Exception):
    """The text cannot be read. The message says why and where."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"yaml: line {line}: {reason}")
        self.line = line


class _Loader(yaml.SafeLoader):
    """Leaves it to us what plain scalars stand for."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}  # noqa: RUF012 - PyYAML's way


def read_yaml(text: str) -> tuple[Value, bool]:
    """The first document of `text`, null if there is none, and whether another follows.

    Raises:
        NotYamlError: this is no YAML, or more than we read.
    """
    try:
        loader = _Loader(text)
        node = loader.get_node() if loader.check_node() else None
        value = _Reader().read(node, 1) if node else Value(kind=Kind.NULL, line=1)
        return value, _goes_on(loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotYamlError(mark.line + 1 if mark else 1, _sentence(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYamlError(line, "control characters are not allowed") from None
    except (ValueError, OverflowError):
        raise NotYamlError(1, "an escape stands for no character") from None
    except RecursionError:
        raise NotYamlError(1, f"nests deeper than {MAX_DEPTH} levels") from None


def _sentence(error: yaml.MarkedYAMLError) -> str:
    return " ".join(str(error.problem or error.context or "is not valid").split())


def _goes_on(loader: _Loader) -> bool:
    """What stands behind the first document is not read, so it need not be right."""
    try:
        return bool(loader.check_node())
    except yaml.YAMLError:
        return True


class _Reader:
    """Walks the node tree once for every place it stands in."""

    def __init__(self) -> None:
        self._values = 0
        self._characters = 0

    def read(self, node: yaml.Node, depth: int) -> Value:
        line = node.start_mark.line + 1
        self._values += 1
        if self._values > MAX_VALUES:
            raise NotYamlError(line, f"holds more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise NotYamlError(line, f"nests deeper than {MAX_DEPTH} levels")
        if isinstance(node, yaml.ScalarNode):
            self._characters += len(node.value)
            if self._characters > MAX_TEXT:
                raise NotYamlError(line, f"holds more than {MAX_TEXT} characters")
            return _scalar(node, line)
        if node.tag not in {_LIST, _MAP}:
            raise NotYamlError(line, "tags are not read")
        if isinstance(node, yaml.MappingNode):
            return Value(kind=Kind.MAP, line=line, pairs=self._pairs(node, depth))
        children = cast("yaml.SequenceNode", node).value
        items = tuple(self.read(child, depth + 1) for child in children)
        return Value(kind=Kind.LIST, line=line, items=items)

    def _pairs(self, node: yaml.MappingNode, depth: int) -> tuple[tuple[Value, Value], ...]:
        found: dict[tuple[Kind, str], tuple[Value, Value]] = {}
        for key_node, value_node in node.value:
            key = self.read(key_node, depth + 1)
            value = self.read(value_node, depth + 1)
            is_merge = isinstance(key_node, yaml.ScalarNode) and key_node.tag == _PLAIN
            merged = _merged(value) if is_merge and key.text == "<<" else ((key, value),)
            for pair in merged:
                found[pair[0].kind, str(pair[0])] = pair
        return tuple(found.values())


def _merged(value: Value) -> Iterator[tuple[Value, Value]]:
    """The pairs of the maps that `<<` names; of several, the first has the last word."""
    maps: Iterable[Value] = reversed(value.items) if value.kind is Kind.LIST else [value]
    for it in maps:
        if it.kind is not Kind.MAP:
            raise NotYamlError(it.line, "map merge requires map or sequence of maps as the value")
        yield from it.pairs


def _scalar(node: yaml.ScalarNode, line: int) -> Value:
    text = str(node.value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise NotYamlError(line, "an escape stands for no character")
    if node.tag == _TEXT:
        return Value(kind=Kind.STRING, line=line, text=text)
    if node.tag != _PLAIN:
        raise NotYamlError(line, "tags are not read")
    return _plain(text, line)


def _plain(text: str, line: int) -> Value:
    if text in _NULLS:
        return Value(kind=Kind.NULL, line=line)
    if text in _TRUE | _FALSE:
        return Value(kind=Kind.BOOL, line=line, text=text)
    for base, pattern in _INTEGERS.items():
        if pattern.fullmatch(text):
            return _integer(text, base, line)
    is_float = _FLOAT.fullmatch(text.replace("_", "")) or _NOT_FINITE.fullmatch(text)
    return Value(kind=Kind.FLOAT if is_float else Kind.STRING, line=line, text=text)


def _number_in_words(text: str) -> str:
    """The shortest text of a number, without a point where it needs none."""
    try:
        number = float(text.replace("_", ""))
    except ValueError:  # hexadecimal, or `.inf`
        return text
    return (
        str(int(number)) if number.is_integer() and abs(number) < _EXPONENTS_FROM else str(number)
    )


def _integer(text: str, base: int, line: int) -> Value:
    digits = text.replace("_", "").lower().replace("o", "")
    if len(digits) > _MAX_INTEGER_TEXT or int(digits, base) not in _INT_64:
        return Value(kind=Kind.FLOAT, line=line, text=text)
    return Value(kind=Kind.INT, line=line, text=text, number=int(digits, base))
