"""A picture of the dashboard, drawn by ourselves: a preview, and no screenshot of a Grafana."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

from monitoring.grafana.preview_data import Line, Span
from monitoring.grafana.preview_scale import ticks, written

Panel = Mapping[str, Any]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

LINE_COLOURS: Final = (
    (115, 191, 105),
    (242, 204, 12),
    (87, 148, 242),
    (255, 152, 48),
    (242, 73, 92),
    (184, 119, 217),
    (112, 219, 237),
    (250, 164, 58),
    (160, 120, 90),
    (200, 200, 210),
)
STATES: Final = {"green": (115, 191, 105), "red": (242, 73, 92)}

_COLUMN: Final = 60
_ROW: Final = 27
_GAP: Final = 4
_FINE: Final = 2  # everything is drawn so many times larger, then made small
_PAGE, _PANEL, _EDGE, _GRID = (17, 18, 23), (24, 27, 31), (44, 48, 56), (40, 43, 49)
_TEXT, _FAINT = (204, 204, 220), (142, 144, 156)
_TITLE_SIZE, _SMALL, _BIG, _HEADING = 13, 10, 34, 15
_LEGEND_LINE: Final = 15
_LEGEND_LINES: Final = 2
_OPACITY: Final = 2.55
_TIMES_SHOWN: Final = 4
_SHADES: Final = 16


def drawn(
    dashboard: Mapping[str, Any], lines_of: Callable[[Panel], Sequence[Line]], span: Span
) -> Image.Image:
    """All panels in their places, with what `lines_of` has for each.

    Raises:
        ValueError: a panel has nothing to show.
    """
    shown = dashboard["panels"]
    height = max(it["gridPos"]["y"] + it["gridPos"]["h"] for it in shown) * _ROW
    page = Image.new("RGB", (24 * _COLUMN * _FINE, height * _FINE), _PAGE)
    pen = _Pen(ImageDraw.Draw(page, "RGBA"))
    for panel in shown:
        box = place(panel)
        if panel["type"] == "row":
            _heading(pen, panel, box)
            continue
        pen.box(box, fill=_PANEL, outline=_EDGE)
        pen.text((box[0] + 9, box[1] + 7), panel["title"], _TITLE_SIZE, _TEXT)
        found = [line for line in lines_of(panel) if line.points]
        if not found:
            raise ValueError(f"{panel['title']}: nothing to show")
        if panel["type"] == "stat":
            _number(pen, panel, box, found)
        else:
            _Graph(pen, panel, box, span).draw(found)
    small = page.resize((page.width // _FINE, page.height // _FINE), Image.Resampling.LANCZOS)
    return small.quantize(palette=_palette(), dither=Image.Dither.NONE)


def place(panel: Panel) -> Box:
    """Where a panel is on the picture, in pixels."""
    grid = panel["gridPos"]
    left, top = grid["x"] * _COLUMN, grid["y"] * _ROW
    right, bottom = left + grid["w"] * _COLUMN, top + grid["h"] * _ROW
    return left + _GAP, top + _GAP, right - _GAP, bottom - _GAP


def _palette() -> Image.Image:
    """Every colour in steps towards what it stands on: few colours make a small file."""
    pairs = [(colour, _PANEL) for colour in (*LINE_COLOURS, _TEXT, _FAINT)]
    pairs.append((_TEXT, _PAGE))
    colours = [_PAGE, _PANEL, _EDGE, _GRID]
    for colour, ground in pairs:
        for step in range(1, _SHADES + 1):
            mixed = [
                round(it + (there - it) * step / _SHADES)
                for it, there in zip(ground, colour, strict=True)
            ]
            colours.append((mixed[0], mixed[1], mixed[2]))
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in colours for part in colour])
    return palette


class _Pen:
    """Draws in pixels of the finished picture."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def box(self, box: Box, *, fill: tuple[int, ...], outline: tuple[int, ...]) -> None:
        fine = [it * _FINE for it in box]
        self._draw.rounded_rectangle(fine, 3 * _FINE, fill=fill, outline=outline)

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size: int,
        colour: tuple[int, ...],
        anchor: str = "la",
    ) -> None:
        fine = at[0] * _FINE, at[1] * _FINE
        self._draw.text(fine, text, colour, font=_font(size), anchor=anchor)

    def line(
        self, points: Sequence[tuple[float, float]], colour: tuple[int, ...], width: float = 1
    ) -> None:
        fine = [(x * _FINE, y * _FINE) for x, y in points]
        self._draw.line(fine, colour, round(width * _FINE), joint="curve")

    def area(self, points: Sequence[tuple[float, float]], colour: tuple[int, ...]) -> None:
        self._draw.polygon([(x * _FINE, y * _FINE) for x, y in points], fill=colour)

    def width(self, text: str, size: int) -> float:
        return float(_font(size).getlength(text)) / _FINE


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size * _FINE)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow has no scalable font")
    return font


def _heading(pen: _Pen, panel: Panel, box: Box) -> None:
    x, y = box[0] + 6, (box[1] + box[3]) / 2
    pen.area([(x, y - 3), (x + 9, y - 3), (x + 4.5, y + 3)], _TEXT)
    pen.text((x + 17, y), panel["title"], _HEADING, _TEXT, "lm")


def _number(pen: _Pen, panel: Panel, box: Box, lines: Sequence[Line]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    value = list(lines[0].points.values())[-1]
    steps = defaults["thresholds"]["steps"]
    reached = [it["color"] for it in steps if it["value"] is None or value >= it["value"]]
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + 8
    pen.text(middle, written(value, defaults["unit"]), _BIG, STATES[reached[-1]], "mm")


@dataclass(frozen=True, slots=True)
class _Curve:
    """A line as it is drawn: what is above it, and what it stands on."""

    line: Line
    base: Mapping[float, float]
    top: Mapping[float, float]


class _Graph:
    """Lines over time in one panel."""

    def __init__(self, pen: _Pen, panel: Panel, box: Box, span: Span) -> None:
        defaults = panel["fieldConfig"]["defaults"]
        self._unit: str = defaults["unit"]
        self._opacity = round(defaults["custom"]["fillOpacity"] * _OPACITY)
        self._stacks = "stacking" in defaults["custom"]
        self._pen, self._box, self._span = pen, box, span
        self._plot: Box = box
        self._top = 1.0

    def draw(self, lines: Sequence[Line]) -> None:
        """Everything below the title."""
        curves = list(self._curves(lines))
        legend = self._legend([curve.line.name for curve in curves])
        marks = ticks(max(max(curve.top.values()) for curve in curves), self._unit)
        labels = [written(mark, self._unit) for mark in marks]
        left = self._box[0] + 14 + max(self._pen.width(label, _SMALL) for label in labels)
        bottom = self._box[3] - 24 - legend * _LEGEND_LINE
        self._plot = left, self._box[1] + 34, self._box[2] - 14, bottom
        self._top = marks[-1]
        self._axes(marks, labels)
        for number, curve in enumerate(curves):
            self._curve(curve, LINE_COLOURS[number % len(LINE_COLOURS)])

    def _curves(self, lines: Sequence[Line]) -> Sequence[_Curve]:
        below: dict[float, float] = {}
        curves = []
        for line in lines:
            base = {time_s: below.get(time_s, 0.0) for time_s in line.points}
            top = {time_s: value + base[time_s] for time_s, value in line.points.items()}
            curves.append(_Curve(line, base, top))
            if self._stacks:
                below |= top
        return curves

    def _axes(self, marks: Sequence[float], labels: Sequence[str]) -> None:
        left, top, right, bottom = self._plot
        for mark, label in zip(marks, labels, strict=True):
            y = self._y(mark)
            self._pen.line([(left, y), (right, y)], _GRID)
            self._pen.text((left - 6, y), label, _SMALL, _FAINT, "rm")
        length = self._span.end_s - self._span.start_s
        for number in range(_TIMES_SHOWN):
            time_s = self._span.start_s + length * (number + 0.5) / _TIMES_SHOWN
            x = self._x(time_s)
            self._pen.line([(x, top), (x, bottom)], _GRID)
            clock = datetime.fromtimestamp(time_s, UTC).strftime("%H:%M:%S")
            self._pen.text((x, bottom + 5), clock, _SMALL, _FAINT, "ma")

    def _curve(self, curve: _Curve, colour: tuple[int, ...]) -> None:
        for times in self._unbroken(sorted(curve.top)):
            above = [(self._x(it), self._y(curve.top[it])) for it in times]
            under = [(self._x(it), self._y(curve.base[it])) for it in reversed(times)]
            if len(times) == 1:
                above.append((above[0][0] + 1, above[0][1]))
            else:
                self._pen.area([*above, *under], (*colour, self._opacity))
            self._pen.line(above, colour, 1.5)

    def _unbroken(self, times: Sequence[float]) -> Sequence[list[float]]:
        """The stretches without a gap."""
        found: list[list[float]] = []
        for time_s in times:
            if found and time_s - found[-1][-1] <= self._span.step_s * 1.5:
                found[-1].append(time_s)
            else:
                found.append([time_s])
        return found

    def _legend(self, names: Sequence[str]) -> int:
        """Written from the bottom up; how many lines it takes."""
        lines: list[list[tuple[int, str]]] = [[]]
        room = self._box[2] - self._box[0] - 20
        taken = 0.0
        for number, name in enumerate(names):
            width = self._pen.width(name, _SMALL) + 30
            if taken + width > room and lines[-1]:
                lines.append([])
                taken = 0
            lines[-1].append((number, name))
            taken += width
        left_out = sum(map(len, lines[_LEGEND_LINES:]))
        lines = lines[:_LEGEND_LINES]
        for row, entries in enumerate(reversed(lines)):
            x, y = self._box[0] + 10, self._box[3] - 12 - row * _LEGEND_LINE
            for number, name in entries:
                colour = LINE_COLOURS[number % len(LINE_COLOURS)]
                self._pen.line([(x, y), (x + 12, y)], colour, 3)
                self._pen.text((x + 17, y), name, _SMALL, _TEXT, "lm")
                x += self._pen.width(name, _SMALL) + 30
            if row == 0 and left_out:
                self._pen.text((self._box[2] - 10, y), f"+{left_out}", _SMALL, _FAINT, "rm")
        return len(lines)

    def _x(self, time_s: float) -> float:
        left, _, right, _ = self._plot
        share = (time_s - self._span.start_s) / (self._span.end_s - self._span.start_s)
        return left + share * (right - left)

    def _y(self, value: float) -> float:
        _, top, _, bottom = self._plot
        return bottom - value / self._top * (bottom - top)
