"""How numbers are written on the preview: axes with round steps, values with their unit."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

_ROUND: Final = (1, 2, 2.5, 5, 10)
_MOST_STEPS: Final = 4
_SUFFIXES: Final[Mapping[str, str]] = {
    "reqps": " req/s",
    "ops": " ops/s",
    "cps": " c/s",
    "short": "",
}
_MINUTE_S, _DAY_S = 60, 86_400
_KILO, _KIBI, _PERCENT, _DIGITS = 1000, 1024, 100, 3
# No microseconds: Pillow's own font has no sign for them.
_TIMES: Final = (
    (_DAY_S, "days"),
    (3600, "h"),
    (_MINUTE_S, "min"),
    (1, "s"),
    (1e-3, "ms"),
)


def ticks(top: float, unit: str) -> Sequence[float]:
    """Numbers from 0 to the first one that is not below `top`, round in the unit they get."""
    if top <= 0:
        return 0.0, 1.0
    for length_s in (_DAY_S, _MINUTE_S):
        if unit == "s" and top > length_s:
            return [it * length_s for it in ticks(top / length_s, "short")]
    if unit == "bytes" and top > _KIBI:
        return [it * _KIBI for it in ticks(top / _KIBI, unit)]
    raw = top / _MOST_STEPS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(it * power for it in _ROUND if it * power >= raw * (1 - 1e-9))
    return [number * step for number in range(math.ceil(top / step - 1e-9) + 1)]


def written(value: float, unit: str) -> str:
    """A value as Grafana would show it with this unit."""
    if unit == "bool_yes_no":
        return "Yes" if value else "No"
    if unit == "percentunit":
        return f"{_short(value * _PERCENT)}%"
    if unit == "s":
        return _time(value)
    if unit == "bytes":
        return _scaled(value, _KIBI, ("B", "KiB", "MiB", "GiB"))
    if unit in {"decbytes", "Bps"}:
        per = "/s" if unit == "Bps" else ""
        return _scaled(value, _KILO, ("B", "kB", "MB", "GB")) + per
    return _short(value) + _SUFFIXES[unit]


def _time(seconds: float) -> str:
    if seconds == 0:
        return "0 s"
    size, name = next((it for it in _TIMES if abs(seconds) >= it[0]), _TIMES[-1])
    return f"{_short(seconds / size)} {name}"


def _scaled(value: float, base: int, names: Sequence[str]) -> str:
    power = 0
    while abs(value) >= base and power < len(names) - 1:
        value, power = value / base, power + 1
    return f"{_short(value)} {names[power]}"


def _short(value: float) -> str:
    rounded = float(f"{value:.{_DIGITS}g}")
    return f"{rounded:g}" if abs(rounded) < 10**6 else f"{rounded:.0f}"
