"""A series of numbers thinned to what a picture can show, with its extremes kept.

The span is cut into equal parts; of each part the first, the lowest, the highest and the last value stay.
A series that is short enough stays as it is. Memory is bounded by the number of parts.
"""

from math import floor

Point = tuple[float, float]
"""When, in seconds since 1970, and the value."""

_KEPT = 4
"""Of each part at most."""


class Thinned:
    """The points of one series between two times, taken in any order."""

    def __init__(self, since: float, until: float, parts: int = 240) -> None:
        self._since = since
        self._length = max((until - since) / parts, 1e-6)
        self._parts = parts
        self._whole: list[Point] | None = []
        """Every point, as long as there are few."""
        self._kept: dict[int, list[Point]] = {}
        """By part: its first, lowest, highest and last."""
        self.count = 0
        """How many points were taken."""

    def add(self, at: float, value: float) -> None:
        """Take a point."""
        self.count += 1
        if self._whole is None:
            self._keep((at, value))
            return
        self._whole.append((at, value))
        if len(self._whole) > self._parts * _KEPT:
            whole, self._whole = self._whole, None
            for point in whole:
                self._keep(point)

    def points(self) -> list[Point]:
        """Return what is kept, in the order of time."""
        if self._whole is not None:
            return sorted(self._whole)
        return sorted({point for part in self._kept.values() for point in part})

    def _keep(self, point: Point) -> None:
        number = min(max(floor((point[0] - self._since) / self._length), 0), self._parts - 1)
        part = self._kept.get(number)
        if part is None:
            self._kept[number] = [point] * _KEPT
            return
        at, value = point
        if at < part[0][0]:
            part[0] = point
        if value < part[1][1]:
            part[1] = point
        if value > part[2][1]:
            part[2] = point
        if at >= part[3][0]:
            part[3] = point
