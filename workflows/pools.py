"""Who has a skill, by where they are: a tree of points on the sphere, and those who moved since it grew.

The tree is SciPy's k-d tree of points in space, which asks for the same neighbours as scikit-learn's
ball tree with the haversine distance, in a third of the time: that one checks its input for longer than
it searches. Each technician is in the tree twice where both the base and a last position are known;
which of the two counts is a question of the moment, so that positions grow old without a new tree.
"""

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from prevenant.globe import EARTH_KM

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NEVER = -(2**62)
"""A time before all others, in microseconds."""
_SLACK = 1.0 + 1e-9
_MOST_MOVED = 256


class Places:
    """Where each of a crowd sets out from and was last seen, in radians, and when, in microseconds."""

    def __init__(self, size: int) -> None:
        self.base: Floats = np.zeros((size, 2))
        self.seen: Floats = np.zeros((size, 2))
        self.seen_at: Indices = np.full(size, NEVER, np.int64)

    def grow(self, size: int) -> None:
        """Make room for more."""
        more = size - len(self.seen_at)
        self.base = np.concatenate([self.base, np.zeros((more, 2))])
        self.seen = np.concatenate([self.seen, np.zeros((more, 2))])
        self.seen_at = np.concatenate([self.seen_at, np.full(more, NEVER, np.int64)])

    def km_from(self, here: Floats, who: Indices, seen_since: int) -> Floats:
        """Return how far some are from a position, each from where they are thought to be."""
        is_seen = self.seen_at[who] >= seen_since
        there = np.where(is_seen[:, None], self.seen[who], self.base[who])
        return great_circle_km(here, there)


class Pool:
    """The members of a crowd who can do one kind of job."""

    def __init__(self, places: Places, is_member: Flags) -> None:
        self._places = places
        self._is_member = is_member
        """As of now, by the crowd; what the tree knows stands in `_owner`."""
        self._moved: Indices = np.empty(0, np.int64)
        self._grow()

    @property
    def size(self) -> int:
        """How many members there are."""
        return self._unmoved + int(self._is_member[self._moved].sum())

    def move(self, who: int) -> None:
        """Take note that somebody moved, came or went."""
        if self._has_moved[who]:
            return
        self._has_moved[who] = True
        self._unmoved -= int(self._was_member[who])
        self._moved = np.append(self._moved, who)
        if len(self._moved) > max(_MOST_MOVED, self._unmoved // 20):
            self._grow()

    def within(self, here: Floats, km: float, seen_since: int) -> tuple[Indices, Floats]:
        """Return the members within a distance, in no order, and how far they are."""
        who: Indices = np.empty(0, np.int64)
        far: Floats = np.empty(0)
        if self._tree is not None:
            angle = min(km / EARTH_KM * _SLACK + 1e-10, np.pi)
            centre = in_space(here)
            chord = 2 * np.sin(angle / 2) * _SLACK + 1e-10
            points = self._tree.query_ball_point(centre, chord, return_sorted=False)
            who, found = self._current(np.array(points, np.int64), seen_since)
            across = self._points[found] - centre
            half = np.einsum("ij,ij->i", across, across) / 4
            far = 2 * EARTH_KM * np.arcsin(np.sqrt(np.minimum(1.0, half)))
        if len(self._moved):
            moved = self._moved[self._is_member[self._moved]]
            moved_far = self._places.km_from(here, moved, seen_since)
            near = moved_far <= km * _SLACK + 1e-6
            who = np.concatenate([who, moved[near]])
            far = np.concatenate([far, moved_far[near]])
        return who, far

    def nearest(self, here: Floats, count: int, seen_since: int) -> Indices:
        """Return at least the `count` nearest members, or all, the nearest first."""
        who: Indices = np.empty(0, np.int64)
        asked = 2 * count + 2
        while self._tree is not None:
            asked = min(asked, len(self._owner))
            _, found = self._tree.query(in_space(here), [*range(1, asked + 1)])
            who, _ = self._current(np.asarray(found, np.int64), seen_since)
            if len(who) >= count or asked == len(self._owner):
                break
            asked *= 4
        moved = self._moved[self._is_member[self._moved]]
        who = np.concatenate([who, moved])
        far = self._places.km_from(here, who, seen_since)
        return who[np.argsort(far, kind="stable")]

    def _current(self, found: Indices, seen_since: int) -> tuple[Indices, Indices]:
        """Keep of the points that were found those where somebody is thought to be now."""
        who = self._owner[found]
        keep = self._is_seen[found] == (self._places.seen_at[who] >= seen_since)
        if len(self._moved):
            keep &= ~self._has_moved[who]
        return who[keep], found[keep]

    def _grow(self) -> None:
        """Grow the tree anew."""
        places, members = self._places, np.flatnonzero(self._is_member)
        seen = members[places.seen_at[members] != NEVER]
        self._owner: Indices = np.concatenate([members, seen])
        self._is_seen: Flags = np.arange(len(self._owner)) >= len(members)
        points = np.concatenate([places.base[members], places.seen[seen]])
        self._points = in_space(points)
        self._tree = KDTree(self._points) if len(points) else None
        self._was_member = self._is_member.copy()
        self._unmoved = len(members)
        self._moved = np.empty(0, np.int64)
        self._has_moved: Flags = np.zeros(len(self._is_member), bool)


def in_space(positions: Floats) -> Floats:
    """Return positions in radians as points on a sphere of radius 1."""
    lat, lon = positions[..., 0], positions[..., 1]
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def great_circle_km(here: Floats, there: Floats) -> Floats:
    """Return the great-circle distances of positions in radians from one (haversine)."""
    across = there - here
    half = (
        np.sin(across[:, 0] / 2) ** 2
        + np.cos(here[0]) * np.cos(there[:, 0]) * np.sin(across[:, 1] / 2) ** 2
    )
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.minimum(1.0, half))))
