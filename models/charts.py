"""Pictures of a report as SVG within the page: bars, lines, points, and lengths side by side.

Made by hand: a page with them is whole by itself, its text stays text, and nothing heavy is loaded
for it. Colours and fonts are the page's, by class.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 28, 14, 46
_LEGEND_LEFT, _LEGEND_RIGHT = _LEFT + 18, WIDTH - 198
_TICKS = 5
_LARGEST, _LEAST = 1e12, 1e-9
"""What is beyond is not drawn; what differs by less is one."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of a picture: what it counts, from where to where."""

    label: str
    low: float
    high: float
    is_share: bool = False
    """Shown in percent."""

    @classmethod
    def over(
        cls, label: str, values: Sequence[float], *, from_zero: bool = False, is_share: bool = False
    ) -> "Axis":
        """Return an axis on which all `values` are seen, with round numbers at its ends."""
        known = [one for one in values if abs(one) <= _LARGEST] or [0.0]
        low, high = min(known), max(known)
        if from_zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if high - low <= _LEAST * max(abs(low), abs(high), 1.0):
            low, high = low - abs(low) / 2, high + max(abs(high) / 2, 1.0)
        step = _round_step(high - low)
        return cls(label, math.floor(low / step) * step, math.ceil(high / step) * step, is_share)

    @property
    def ticks(self) -> list[float]:
        """Round numbers on the axis."""
        step = _round_step(self.high - self.low)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [(first + index) * step for index in range(max(count, 0))]

    def shown(self, value: float) -> str:
        """Return a value as it stands beside the axis."""
        return f"{value * 100:g} %" if self.is_share else short_number(value)


def _round_step(span: float) -> float:
    """Return the round number that divides `span` into about five."""
    step = span / _TICKS
    power = 10.0 ** math.floor(math.log10(step))
    return next((s * power for s in (1, 2, 2.5, 5) if s * power >= step * (1 - 1e-9)), 10 * power)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a picture."""

    points: Sequence[Point]
    label: str = ""
    style: str = "main"
    """The page's class: `main`, `other`, `ideal`."""
    dots: bool = False


def short_number(value: float) -> str:
    """Return a number as a person reads it: three digits, thousands set apart."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "\N{EN DASH}"
    if abs(value) >= 1000:  # noqa: PLR2004  from here digits behind the point say nothing
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def draw_lines(
    x: Axis,
    y: Axis,
    lines: Sequence[Line],
    title: str,
    mark: Point | None = None,
    *,
    legend_left: bool = False,
) -> str:
    """Return a picture of lines, with one point marked where one is chosen."""
    parts = [_axes(x, y)]
    for line in lines:
        places = [_place(x, y, point) for point in line.points if _is_known(point)]
        if len(places) > 1:
            path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
            parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
        if line.dots:
            parts += [
                f'<circle class="dot {line.style}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>'
                for a, b in places
            ]
    if mark is not None and _is_known(mark):
        across, up = _place(x, y, mark)
        parts.append(f'<circle class="mark" cx="{across:.1f}" cy="{up:.1f}" r="5.5"/>')
    named = [line for line in lines if line.label]
    return _picture(
        title, [*parts, *_legend(named, _LEGEND_LEFT if legend_left else _LEGEND_RIGHT)]
    )


def draw_points(
    x: Axis, y: Axis, points: Sequence[Point], title: str, lines: Sequence[Line] = ()
) -> str:
    """Return a picture of points, with lines across."""
    parts = [_axes(x, y)]
    for point in points:
        if _is_known(point):
            across, up = _place(x, y, point)
            parts.append(f'<circle class="point" cx="{across:.1f}" cy="{up:.1f}" r="1.8"/>')
    for line in lines:
        path = " ".join("{:.1f},{:.1f}".format(*_place(x, y, one)) for one in line.points)
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
    return _picture(title, [*parts, *_legend([line for line in lines if line.label], _LEGEND_LEFT)])


def draw_bars(x: Axis, bars: Sequence[tuple[float, float, float]], y_label: str, title: str) -> str:
    """Return a picture of bars, each from one place to another and so high."""
    y = Axis.over(y_label, [height for _, _, height in bars], from_zero=True)
    parts = [_axes(x, y)]
    for begin, end, height in bars:
        left, top = _place(x, y, (begin, height))
        right, floor = _place(x, y, (end, 0.0))
        parts.append(
            f'<rect class="bar" x="{left + 0.5:.1f}" y="{top:.1f}" '
            f'width="{max(right - left - 1, 1):.1f}" height="{max(floor - top, 0):.1f}"/>'
        )
    return _picture(title, parts)


def draw_lengths(rows: Sequence[tuple[str, float]], title: str) -> str:
    """Return a picture of names with a length beside each, relative to the longest."""
    longest = max((value for _, value in rows), default=0.0) or 1.0
    height = 24 * len(rows) + 12
    parts = []
    for index, (name, value) in enumerate(rows):
        top = 6 + 24 * index
        length = max(value, 0.0) / longest * (WIDTH - 260)
        parts.append(
            f'<text class="name" x="190" y="{top + 15}">{escape(_cut(name))}</text>'
            f'<rect class="bar" x="198" y="{top + 3}" width="{length:.1f}" height="16"/>'
            f'<text class="amount" x="{204 + length:.1f}" y="{top + 15}">{short_number(value)}</text>'
        )
    return _picture(title, parts, height)


def count_bins(values: Sequence[float], count: int) -> list[tuple[float, float, float]]:
    """Return how many values lie in each of about `count` bins of round width."""
    known = [one for one in values if abs(one) <= _LARGEST]
    if not known:
        return []
    low, high = min(known), max(known)
    ticks = Axis.over("", known).ticks
    width = (ticks[1] - ticks[0] if len(ticks) > 1 else 1.0) * _TICKS / count
    first, last = math.floor(low / width), math.floor(high / width)
    heights = [0] * (last - first + 1)
    for one in known:
        heights[min(max(math.floor(one / width) - first, 0), last - first)] += 1
    return [((first + i) * width, (first + i + 1) * width, float(n)) for i, n in enumerate(heights)]


def _axes(x: Axis, y: Axis) -> str:
    parts = []
    for tick in y.ticks:
        _, up = _place(x, y, (x.low, tick))
        parts.append(
            f'<line class="grid" x1="{_LEFT}" y1="{up:.1f}" x2="{WIDTH - _RIGHT}" y2="{up:.1f}"/>'
            f'<text class="tick up" x="{_LEFT - 8}" y="{up + 4:.1f}">{escape(y.shown(tick))}</text>'
        )
    floor = HEIGHT - _BOTTOM
    for tick in x.ticks:
        across, _ = _place(x, y, (tick, y.low))
        parts.append(
            f'<line class="axis" x1="{across:.1f}" y1="{floor}" x2="{across:.1f}" y2="{floor + 4}"/>'
            f'<text class="tick" x="{across:.1f}" y="{floor + 18}">{escape(x.shown(tick))}</text>'
        )
    middle = (_TOP + floor) / 2
    parts.append(
        f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{WIDTH - _RIGHT}" y2="{floor}"/>'
        f'<text class="label" x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 8}">{escape(x.label)}</text>'
        f'<text class="label" transform="translate(14 {middle}) rotate(-90)">{escape(y.label)}</text>'
    )
    return "".join(parts)


def _legend(lines: Sequence[Line], left: float) -> list[str]:
    if not lines:
        return []
    height = 18 * len(lines) + 4
    parts = [f'<rect class="back" x="{left - 8}" y="{_TOP - 2}" width="176" height="{height}"/>']
    for index, line in enumerate(lines):
        top = _TOP + 8 + 18 * index
        parts.append(
            f'<line class="line {line.style}" '
            f'x1="{left}" y1="{top}" x2="{left + 24}" y2="{top}"/>'
            f'<text class="legend" x="{left + 30}" y="{top + 4}">{escape(line.label)}</text>'
        )
    return parts


def _place(x: Axis, y: Axis, point: Point) -> Point:
    across = (point[0] - x.low) / (x.high - x.low)
    up = (point[1] - y.low) / (y.high - y.low)
    across, up = min(max(across, 0.0), 1.0), min(max(up, 0.0), 1.0)
    floor = HEIGHT - _BOTTOM
    return _LEFT + across * (WIDTH - _LEFT - _RIGHT), floor - up * (floor - _TOP)


def _picture(title: str, parts: Sequence[str], height: float = HEIGHT) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {height:g}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _is_known(point: Point) -> bool:
    return abs(point[0]) <= _LARGEST and abs(point[1]) <= _LARGEST


def _cut(name: str, longest: int = 26) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
