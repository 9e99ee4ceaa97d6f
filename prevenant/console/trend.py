"""A small chart of one figure over time, drawn as SVG: pure, without a script."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 72
_EDGE = 6
_FLAT = 0.5


@dataclass(frozen=True, slots=True)
class Dot:
    """One value: where it stands, and which it is."""

    x: float
    y: float
    number: int
    """Of which period, counted from 0."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Lines through values that follow each other; a period without a value interrupts them."""

    lines: tuple[str, ...]
    """Each as the points of a polyline."""
    dots: tuple[Dot, ...]
    width: int = WIDTH
    height: int = HEIGHT


def draw_trend(values: Sequence[float | None], floor: float | None = 0.0) -> Trend:
    """Return where values stand. The axis begins at `floor`; None: at the smallest value."""
    known = [one for one in values if one is not None]
    if not known:
        return Trend((), ())
    low = min(known) if floor is None else min(floor, *known)
    high = max(known)
    step = (WIDTH - 2 * _EDGE) / max(1, len(values) - 1)
    dots: list[Dot] = []
    lines: list[str] = []
    points: list[str] = []
    for number, value in enumerate(values):
        if value is None:
            lines, points = _keep(lines, points), []
            continue
        share = (value - low) / (high - low) if high > low else _FLAT
        dot = Dot(
            round(_EDGE + number * step, 1) if len(values) > 1 else WIDTH / 2,
            round(HEIGHT - _EDGE - share * (HEIGHT - 2 * _EDGE), 1),
            number,
        )
        dots.append(dot)
        points.append(f"{dot.x},{dot.y}")
    return Trend(tuple(_keep(lines, points)), tuple(dots))


def _keep(lines: list[str], points: list[str]) -> list[str]:
    """Keep a line that joins something: a value alone is a dot."""
    return [*lines, " ".join(points)] if len(points) > 1 else lines
