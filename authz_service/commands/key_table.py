"""Keys for the eye: aligned columns, colours only where somebody looks."""

from collections.abc import Callable, Sequence
from typing import Final

from authz_service.identity.key_admin import KeyView
from authz_service.identity.key_store import StoredKey
from authz_service.identity.key_view import KeyState, key_state, shown_view
from authz_service.identity.moments import spell_span

_TITLES: Final = ("ID", "NAME", "SUBJECT", "TIER", "STATE", "LAST USED")
_STATE_COLUMN: Final = _TITLES.index("STATE")
_BOLD, _GREEN, _YELLOW, _RED, _RESET = "\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"

Paint = Callable[[str, str], str]
"""From a text and a colour to the text in that colour."""


def in_colour(text: str, colour: str) -> str:
    """For terminals."""
    return f"{colour}{text}{_RESET}"


def plain(text: str, _colour: str) -> str:
    """For everything else."""
    return text


def key_table(views: Sequence[KeyView], now_ms: int, paint: Paint) -> list[str]:
    """One line for each key, under a line of titles."""
    rows = [_row(view, now_ms) for view in views]
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    lines = [paint("  ".join(_aligned(_TITLES, widths)).rstrip(), _BOLD)]
    for view, row in zip(views, rows, strict=True):
        cells = _aligned(row, widths)
        cells[_STATE_COLUMN] = paint(cells[_STATE_COLUMN], _colour(view.key, now_ms))
        lines.append("  ".join(cells).rstrip())
    return lines


def key_lines(view: KeyView, now_ms: int) -> list[str]:
    """Everything there is to say of one key, a field a line."""
    shown = {name: _value(value) for name, value in shown_view(view, now_ms).items()}
    width = max(map(len, shown))
    return [f"{name.ljust(width)}  {value}" for name, value in shown.items()]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]


def _row(view: KeyView, now_ms: int) -> tuple[str, ...]:
    key = view.key
    used_ms = view.last_used_ms
    used = "-" if used_ms is None else f"{spell_span(max(0, now_ms - used_ms))} ago"
    return key.id, key.name, key.subject, key.tier, _state(key, now_ms), used


def _state(key: StoredKey, now_ms: int) -> str:
    state = key_state(key, now_ms)
    if state is KeyState.ACTIVE and key.expires_at_ms is not None:
        return f"expires in {spell_span(key.expires_at_ms - now_ms)}"
    return state.value


def _colour(key: StoredKey, now_ms: int) -> str:
    match key_state(key, now_ms):
        case KeyState.ACTIVE:
            return _GREEN if key.expires_at_ms is None else _YELLOW
        case _:
            return _RED


def _value(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
