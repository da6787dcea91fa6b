"""The values of a file as the parts it is made of. A value of the wrong type is a problem."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from authz_service.core.descriptors import Algorithm
from authz_service.core.rules import StoreFailure
from authz_service.descriptors.problem import Problem, Rule
from authz_service.descriptors.values import Kind, Value

MAX_MULTIPLIER = 1_000
_MAX_METADATA_DEPTH = 20

_UINT_32 = range(1 << 32)
_SHOWN_CHARACTERS = 10
_SCALARS = frozenset({Kind.STRING, Kind.INT, Kind.BOOL})


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitPart:
    """What stands under `rate_limit`. `replaces` has a name for every entry, empty ones too."""

    line: int
    unit: str
    requests_per_unit: int
    unlimited: bool
    name: str
    replaces: tuple[str, ...]
    algorithm: Algorithm | None
    multiplier: int
    on_store_failure: StoreFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptorPart:
    """One descriptor and those inside it."""

    line: int
    key: str
    value: str
    rate_limit: RateLimitPart | None
    shadow_mode: bool
    quota_mode: bool
    detailed_metric: bool
    value_to_metric: bool
    share_threshold: bool
    metadata: Mapping[str, object]
    descriptors: tuple["DescriptorPart", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A whole file."""

    file: str
    domain: str
    algorithm: Algorithm | None
    descriptors: tuple[DescriptorPart, ...]


def file_part(file: str, value: Value) -> tuple[FilePart, list[Problem]]:
    """The parts of a file, as far as they can be read, and what is wrong with the rest."""
    reader = _Reader(file)
    return reader.file(value), reader.problems


class _Reader:
    """Reads what is there and notes what is not as it must be."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.problems: list[Problem] = []

    def file(self, value: Value) -> FilePart:
        return FilePart(
            file=self._file,
            domain=self._text(value, "domain"),
            algorithm=self._algorithm(value),
            descriptors=self._descriptors(value),
        )

    def _descriptors(self, value: Value) -> tuple[DescriptorPart, ...]:
        return tuple(
            self._descriptor(item)
            for item in self._maps(value, "descriptors", "[]config.YamlDescriptor")
        )

    def _descriptor(self, value: Value) -> DescriptorPart:
        return DescriptorPart(
            line=value.line,
            key=self._text(value, "key"),
            value=self._text(value, "value"),
            rate_limit=self._rate_limit(value),
            shadow_mode=self._flag(value, "shadow_mode"),
            quota_mode=self._flag(value, "quota_mode"),
            detailed_metric=self._flag(value, "detailed_metric"),
            value_to_metric=self._flag(value, "value_to_metric"),
            share_threshold=self._flag(value, "share_threshold"),
            metadata=self._metadata(value),
            descriptors=self._descriptors(value),
        )

    def _rate_limit(self, around: Value) -> RateLimitPart | None:
        value = around.get("rate_limit")
        if value is None:
            return None
        if value.kind is not Kind.MAP:
            self._mismatch(value, "config.YamlRateLimit")
            return None
        return RateLimitPart(
            line=value.line,
            unit=self._text(value, "unit"),
            requests_per_unit=self._requests(value),
            unlimited=self._flag(value, "unlimited"),
            name=self._text(value, "name"),
            replaces=tuple(
                self._text(item, "name")
                for item in self._maps(value, "replaces", "[]config.yamlReplaces")
            ),
            algorithm=self._algorithm(value),
            multiplier=self._multiplier(value),
            on_store_failure=self._on_store_failure(value),
        )

    def _text(self, around: Value, key: str) -> str:
        """A string, or a number or boolean as it was written."""
        value = around.get(key)
        if value is None:
            return ""
        if value.kind in _SCALARS or value.kind is Kind.FLOAT:
            return value.text  # the check of keys has told of numbers with a point
        self._mismatch(value, "string")
        return ""

    def _flag(self, around: Value, key: str) -> bool:
        value = around.get(key)
        if value and value.kind is not Kind.BOOL:
            self._mismatch(value, "bool")
        return bool(value and value.is_true)

    def _requests(self, around: Value) -> int:
        value = around.get("requests_per_unit")
        if value is None:
            return 0
        if value.kind is Kind.INT and value.number in _UINT_32:
            return value.number
        self._mismatch(value, "uint32")
        return 0

    def _maps(self, around: Value, key: str, expected: str) -> Iterator[Value]:
        """The maps of a list; of its other elements the check of keys has told."""
        value = around.get(key)
        if value and value.kind is not Kind.LIST:
            self._mismatch(value, expected)
        yield from (it for it in (value.items if value else ()) if it.kind is Kind.MAP)

    def _metadata(self, around: Value) -> Mapping[str, object]:
        value = around.get("metadata")
        if value is None:
            return {}
        if value.kind is not Kind.MAP:
            self._mismatch(value, "map[string]interface {}")
            return {}
        try:
            return _plain_map(value)
        except ValueError as error:
            text = f"error parsing metadata: {error}"
            self.problems.append(Problem(Rule.METADATA, self._file, value.line, text))
            return {}

    def _multiplier(self, around: Value) -> int:
        value = around.get("unit_multiplier")
        if value is None:
            return 1
        if value.kind is Kind.INT and 1 <= value.number <= MAX_MULTIPLIER:
            return value.number
        text = f"unit_multiplier {_short(str(value))} is no whole number from 1 to {MAX_MULTIPLIER}"
        self.problems.append(Problem(Rule.UNIT_MULTIPLIER, self._file, value.line, text))
        return 1

    def _algorithm(self, around: Value) -> Algorithm | None:
        value = around.get("algorithm")
        if value is None:
            return None
        if value.kind is Kind.STRING and value.text in list(Algorithm):
            return Algorithm(value.text)
        text = f"algorithm {_short(str(value))} is neither {' nor '.join(Algorithm)}"
        self.problems.append(Problem(Rule.ALGORITHM, self._file, value.line, text))
        return None

    def _on_store_failure(self, around: Value) -> StoreFailure:
        value = around.get("on_store_failure")
        if value is None:
            return StoreFailure.LOCAL
        if value.kind is Kind.STRING and value.text in list(StoreFailure):
            return StoreFailure(value.text)
        text = f"on_store_failure {_short(str(value))} is none of {', '.join(StoreFailure)}"
        self.problems.append(Problem(Rule.ON_STORE_FAILURE, self._file, value.line, text))
        return StoreFailure.LOCAL

    def _mismatch(self, value: Value, expected: str) -> None:
        if value.kind is Kind.FLOAT:
            return  # the check of keys has told
        shown = f" `{_short(value.text)}`" if value.kind in _SCALARS else ""
        text = (
            f"error loading config file: yaml: line {value.line}:"
            f" cannot unmarshal {value.kind}{shown} into {expected}"
        )
        self.problems.append(Problem(Rule.LOADING, self._file, value.line, text))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _plain_map(value: Value, depth: int = 1) -> dict[str, object]:
    _check_depth(depth)
    found: dict[str, object] = {}
    for key, inner in value.pairs:
        if key.kind is not Kind.STRING:
            raise ValueError(f"key is not of type string: {_short(str(key))}")
        found[key.text] = _plain(inner, depth)
    return found


def _check_depth(depth: int) -> None:
    """Protobuf reads no message with more levels, and each of these is several of its own."""
    if depth > _MAX_METADATA_DEPTH:
        raise ValueError(f"more than {_MAX_METADATA_DEPTH} levels")


def _plain(value: Value, depth: int) -> object:
    """A value as JSON could say it."""
    if value.kind is Kind.MAP:
        return _plain_map(value, depth + 1)
    if value.kind is Kind.LIST:
        _check_depth(depth + 1)
        return [_plain(item, depth + 1) for item in value.items]
    if value.kind is Kind.STRING:
        return value.text
    if value.kind is Kind.FLOAT:
        return _number(value.text)
    if value.kind is Kind.NULL:
        return None
    return value.is_true if value.kind is Kind.BOOL else value.number


def _number(text: str) -> float:
    try:
        number = float(text.replace("_", "").replace(".inf", "inf"))
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{_short(text)} is no finite number")
    return number
