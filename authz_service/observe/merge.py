"""The expositions of several workers → one. Pure: text in, families out.

What only grows is added up, and kept when its worker is gone. Gauges are combined by a rule and
go with their worker.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Final

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

Rule = Callable[[Sequence[float]], float]
"""How the values of one gauge, at least one, become the one that is shown."""

_GROWING: Final = frozenset({"counter", "histogram", "summary"})
_ADDED_UP: Final = _GROWING | {"gaugehistogram"}
_OPENMETRICS: Final = "application/openmetrics-text"

_Labels = tuple[tuple[str, str], ...]
_Key = tuple[str, _Labels]


class MalformedExpositionError(Exception):
    """A text is not OpenMetrics, or not all of it."""


@dataclass(slots=True)
class _Family:
    """One metric family. Samples stand in the order of their text, as the format demands."""

    name: str
    documentation: str
    type: str
    unit: str
    samples: dict[_Key, Sample] = field(default_factory=dict)


_Snapshot = Mapping[str, _Family]


class Merger:
    """The latest snapshot of every worker, and the total of those that are gone.

    `rules` say how gauges of a name are combined; the greatest value is shown of any other.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._live: dict[str, _Snapshot] = {}
        self._retired: _Snapshot = {}

    def update(self, worker: str, text: bytes) -> None:
        """Put `text` in the place of what the worker said before.

        Raises:
            MalformedExpositionError: it cannot be read; what the worker said before stands.
        """
        self._live[worker] = _parse(text)

    def retire(self, worker: str) -> None:
        """Keep what the worker has counted, and forget the worker. Unknown ones are ignored."""
        snapshot = self._live.pop(worker, {})
        grown = {name: it for name, it in snapshot.items() if it.type in _GROWING}
        self._retired = _merged([self._retired, grown], self._rules)

    def families(self) -> Sequence[Metric]:
        """What all workers, gone ones included, have to show, ordered by name."""
        # The order of workers decides nothing but which of two contradicting types is believed.
        live = [self._live[worker] for worker in sorted(self._live)]
        merged = _merged([self._retired, *live], self._rules)
        return [_metric(merged[name]) for name in sorted(merged)]

    def render(self, accept: str) -> tuple[bytes, str]:
        """The families as text; see `render`."""
        return render(self.families(), accept)


def render(families: Sequence[Metric], accept: str) -> tuple[bytes, str]:
    """The families as text and its content type: OpenMetrics where `accept` names it.

    Otherwise it is the older text format, which has neither exemplars nor creation times.
    """
    if _OPENMETRICS in accept:
        encode, content_type = choose_encoder(_OPENMETRICS)
        return encode(_Families(families)), content_type
    encode, content_type = choose_encoder("")
    return encode(_Families([_without_created(metric) for metric in families])), content_type


class _Families(Collector):
    """Families as the encoders want them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _parse(text: bytes) -> _Snapshot:
    try:
        parsed: list[Metric] = list(
            text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
        )
        return {metric.name: _family(metric) for metric in parsed}
    except Exception as error:
        # The parser stumbles over some texts instead of refusing them.
        raise MalformedExpositionError(f"not an exposition: {error!r}") from error


def _family(metric: Metric) -> _Family:
    if any(sample.native_histogram for sample in metric.samples):
        raise ValueError(f"{metric.name} is a native histogram")
    return _Family(
        name=metric.name,
        documentation=metric.documentation,
        type=metric.type,
        unit=metric.unit,
        samples={
            (sample.name, tuple(sorted(sample.labels.items()))): sample
            for sample in metric.samples
            if not _is_quantile(metric, sample)
        },
    )


def _is_quantile(metric: Metric, sample: Sample) -> bool:
    """Whether a sample means nothing beyond its own worker."""
    return metric.type == "summary" and sample.name == metric.name


def _merged(snapshots: Sequence[_Snapshot], rules: Mapping[str, Rule]) -> _Snapshot:
    found: dict[str, list[_Family]] = {}
    for snapshot in snapshots:
        for name, family in snapshot.items():
            found.setdefault(name, []).append(family)
    return {name: _one(families, rules.get(name, max)) for name, families in found.items()}


def _one(families: Sequence[_Family], rule: Rule) -> _Family:
    """One family of those of one name. A worker that contradicts the first on type is left out."""
    first = families[0]
    found: dict[_Key, list[Sample]] = {}
    for family in families:
        if family.type == first.type:
            for key, sample in family.samples.items():
                found.setdefault(key, []).append(sample)
    return _Family(
        name=first.name,
        documentation=first.documentation,
        type=first.type,
        unit=first.unit,
        samples={key: _sample(samples, first.type, rule) for key, samples in found.items()},
    )


def _sample(samples: Sequence[Sample], kind: str, rule: Rule) -> Sample:
    first = samples[0]
    return first._replace(
        value=_value(first.name, kind, [sample.value for sample in samples], rule),
        timestamp=None,  # a combined value was never taken at one moment
        exemplar=_newest([sample.exemplar for sample in samples if sample.exemplar]),
    )


def _value(name: str, kind: str, values: Sequence[float], rule: Rule) -> float:
    if kind not in _ADDED_UP:
        # A gauge that has no number yet must not hide one that has.
        return rule([value for value in values if not isnan(value)] or values)
    if name.endswith("_created"):
        return min(values)
    # Adding floats up in one order gives one sum, whatever the order of workers.
    return sum(sorted(values))


def _newest(exemplars: Sequence[Exemplar]) -> Exemplar | None:
    return max(exemplars, key=lambda it: float(it.timestamp or 0), default=None)


def _metric(family: _Family) -> Metric:
    metric = Metric(family.name, family.documentation, family.type, family.unit)
    metric.samples = _grouped(family)
    return metric


def _grouped(family: _Family) -> list[Sample]:
    """The samples of one label set side by side, where the format wants them."""
    groups: dict[_Labels, list[Sample]] = {}
    for (_, labels), sample in family.samples.items():
        group = tuple(it for it in labels if it[0] not in {"le", family.name})
        groups.setdefault(group, []).append(sample)
    return [sample for group in sorted(groups) for sample in groups[group]]


def _without_created(metric: Metric) -> Metric:
    if metric.type not in _GROWING:
        return metric
    plain = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    plain.samples = [it for it in metric.samples if not it.name.endswith("_created")]
    return plain
