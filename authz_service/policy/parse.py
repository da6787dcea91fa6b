"""YAML text to plain data that remembers the line of every value.

Stricter than YAML: no aliases, no tags, no duplicate keys; keys are strings. A policy that
means something else than it seems to say is worse than none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, cast

import yaml

from authz_service.policy.problem import Path, Problem, Rule
from authz_service.policy.strict_json import RepeatedMemberError, read_json
from authz_service.policy.variables import Variable, VariableText, find_variable

MAX_DEPTH = 20

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")
)
_MAPPING_TAG, _SEQUENCE_TAG = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_MAX_INTEGER_BITS = 64


@dataclass(slots=True)
class Document:
    """One parsed file: its data, and on which line each part of it stands.

    `variables` are the values that came from the environment, `left_out` those that a variable
    left out.
    """

    file: str
    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    variables: dict[Path, Variable] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)

    def report(self, rule: Rule, path: Path, message: str) -> None:
        """Note a broken rule at `path`."""
        place = self.public(path)
        self.problems.append(Problem(self.file, self.line(path), place, message, rule))

    def public(self, path: Path) -> Path:
        """As much of `path` as a message may tell: names inside a variable are part of a value."""
        for end in range(len(path)):
            if path[:end] in self.variables:
                inside = takewhile(lambda part: isinstance(part, int), path[end:])
                return (*path[:end], *inside)
        return path

    def variable(self, path: Path) -> Variable | None:
        """The variable that the value at `path` came from."""
        around = (path[:end] for end in range(len(path) + 1))
        return next((self.variables[part] for part in around if part in self.variables), None)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it that the file does hold."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def value(self, path: Path) -> object:
        """What the file says at `path`, or None."""
        found: Any = self.data
        try:
            for part in path:
                found = found[part]
        except (KeyError, IndexError, TypeError):
            return None
        return cast("object", found)


def parse(text: str, *, file: str, environment: Mapping[str, str] | None) -> Document:
    """Parse one policy file. What is wrong stands in the document's `problems`.

    A value that is exactly `${NAME}` is taken from `environment`, as JSON if it is a list or an
    object, and has to be set. `${NAME:-text}` has a default, and `${NAME:-}` may leave its key
    out. Without an `environment` all of them are refused.
    """
    document = Document(file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        message = f"is not valid YAML: {error.problem}"
        document.problems.append(Problem(file, line, (), message, Rule.YAML))
    except (yaml.YAMLError, ValueError, OverflowError):
        document.report(Rule.YAML, (), "is not valid YAML: it holds a character YAML forbids")
    except RecursionError:
        document.report(Rule.YAML_DEPTH, (), f"nests deeper than {MAX_DEPTH} levels")
    else:
        document.data = _Reader(document, environment).read(root, ()) if root else {}
    return document


_ABSENT = object()


def _plain_value(node: yaml.ScalarNode) -> object:
    """What a scalar stands for. PyYAML raises ValueError or LookupError where a tag is a lie."""
    value = yaml.SafeLoader("").construct_object(node)
    if isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
        raise ValueError("too large")  # Python refuses to print thousands of digits
    return cast("object", value)


class _Reader:
    """Walks the node tree once."""

    def __init__(self, document: Document, environment: Mapping[str, str] | None) -> None:
        self._document = document
        self._environment = environment
        self._seen: set[int] = set()

    def read(self, node: yaml.Node, path: Path) -> object:
        self._document.lines[path] = node.start_mark.line + 1
        if id(node) in self._seen:
            return self._refuse(Rule.YAML_ALIAS, path, "is an alias; write the value out")
        self._seen.add(id(node))
        if len(path) > MAX_DEPTH:
            return self._refuse(Rule.YAML_DEPTH, path, f"nests deeper than {MAX_DEPTH} levels")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in {_MAPPING_TAG, _SEQUENCE_TAG}:
            return self._refuse(Rule.YAML_TAG, path, "has a tag; write plain YAML")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return self._sequence(cast("yaml.SequenceNode", node), path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        keys: set[str] = set()  # those without a value too
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in keys:
                self._document.lines[*path, key] = key_node.start_mark.line + 1
                self._refuse(Rule.YAML_DUPLICATE_KEY, (*path, key), "stands here twice")
                continue
            keys.add(key)
            value = self.read(value_node, (*path, key))
            if value is not _ABSENT:
                found[key] = value
        return found

    def _sequence(self, node: yaml.SequenceNode, path: Path) -> list[object]:
        found: list[object] = []
        for child in node.value:
            value = self.read(child, (*path, len(found)))
            if value is not _ABSENT:
                found.append(value)
        return found

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
            return str(node.value)
        shown = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a collection"
        self._refuse(Rule.YAML_KEY, path, f"has the key {shown}, which is not a string; quote it")
        return None

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        if node.tag not in _PLAIN_TAGS:
            return self._refuse(
                Rule.YAML_TAG, path, f"{node.value!r} is no string, number or boolean; quote it"
            )
        try:
            value = _plain_value(node)
        except (ValueError, LookupError):
            message = f"{node.value!r} is no number or boolean; quote it"
            return self._refuse(Rule.YAML_TAG, path, message)
        variable = find_variable(value) if isinstance(value, str) else None
        return self._substitute(variable, path) if variable else value

    def _substitute(self, variable: Variable, path: Path) -> object:
        if self._environment is None:
            return self._refuse(Rule.VARIABLE, path, "variables stand for nothing here")
        text = self._environment.get(variable.name)
        if text:
            self._document.variables[path] = variable
            return self._variable_value(variable, text, path)
        if variable.default is None:
            optional = f"${{{variable.name}:-}}"
            message = f"{variable} is unset or empty; write {optional} where it may be missing"
            return self._refuse(Rule.VARIABLE, path, message)
        if not variable.default:
            self._document.left_out.append(path)
            return _ABSENT
        return self._variable_value(variable, variable.default, path)

    def _variable_value(self, variable: Variable, text: str, path: Path) -> object:
        if text[0] not in "[{":
            return VariableText(text)
        try:
            return read_json(text)
        except RepeatedMemberError as error:
            message = f"{variable} names a member of an object twice"
            return self._refuse(Rule.VARIABLE, (*path, *error.path), message)
        except ValueError:
            return self._refuse(Rule.VARIABLE, path, f"{variable} is not valid JSON")

    def _refuse(self, rule: Rule, path: Path, message: str) -> object:
        self._document.report(rule, path, message)
        return _ABSENT
