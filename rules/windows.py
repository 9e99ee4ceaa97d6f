"""Windows over event time, of constant memory: a window is kept in panes, not in readings.

A window of length W is cut into panes of W / 30. The pane that the window's beginning falls into
counts wholly: what a window says is exact for one that reaches back between W and W + W / 30. Memory is
bounded by 31 panes, each only there once a reading fell into it.

Panes as in J. Li et al., "No pane, no gain: efficient evaluation of sliding-window aggregates over
data streams" (2005); merging deviations as in T. F. Chan et al., "Updating formulae and a pairwise
algorithm for computing sample variances" (1979). All times are seconds since 1970, UTC.
"""

from math import floor, inf, sqrt

import msgspec

from prevenant.domain import Value

PANES = 30
"""How many panes a window's length is cut into."""


class Totals(msgspec.Struct, gc=False):
    """What is known of the values in a pane, or in several."""

    count: int = 0
    sum: float = 0.0
    squares: float = 0.0
    """The sum of the squared deviations from the mean."""
    minimum: float = inf
    maximum: float = -inf
    first_at: float = 0.0
    first: float = 0.0
    last_at: float = 0.0
    last: float = 0.0

    @property
    def mean(self) -> float:
        """The values' average; there must be one at least."""
        return self.sum / self.count

    @property
    def stddev(self) -> float:
        """The standard deviation of the values as a population."""
        return sqrt(max(0.0, self.squares / self.count))

    def add(self, at: float, value: float) -> None:
        """Take one value, observed no earlier than the values before it."""
        if self.count:
            deviation = value - self.mean
            self.squares += deviation * deviation * self.count / (self.count + 1)
        else:
            self.first_at, self.first = at, value
        self.count += 1
        self.sum += value
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)
        self.last_at, self.last = at, value

    def join(self, later: "Totals") -> None:
        """Take all values of `later`, which were observed after these."""
        if not later.count:
            return
        if self.count:
            deviation, both = later.mean - self.mean, self.count + later.count
            self.squares += deviation * deviation * self.count * later.count / both
        else:
            self.first_at, self.first = later.first_at, later.first
        self.squares += later.squares
        self.count += later.count
        self.sum += later.sum
        self.minimum = min(self.minimum, later.minimum)
        self.maximum = max(self.maximum, later.maximum)
        self.last_at, self.last = later.last_at, later.last


class Window(msgspec.Struct, gc=False):
    """The values of the last `window_s` seconds of one device."""

    window_s: float
    panes: list[tuple[int, Totals]] = []
    """By number: pane n covers the time from n to n + 1 pane lengths since 1970; oldest first."""
    before: Totals | None = None
    """What the panes before the newest come to; None where that has to be reckoned anew."""
    is_known: bool = False
    """Whether there ever was a value."""

    def add(self, at: float, value: float | None) -> None:
        """Take a value, observed no earlier than the ones before it; None where there is none."""
        if value is None:
            return
        self.is_known = True
        number = self._number(at)
        if not self.panes or self.panes[-1][0] != number:
            self.panes.append((number, Totals()))
            self.before = None
            self._drop_before(number)
        self.panes[-1][1].add(at, value)

    def total(self, now: float) -> Totals:
        """Return what the values in the window that ends at `now` come to."""
        self._drop_before(self._number(now))
        if not self.panes:
            return Totals()
        if self.before is None:
            self.before = Totals()
            for _, totals in self.panes[:-1]:
                self.before.join(totals)
        whole = msgspec.structs.replace(self.before)
        whole.join(self.panes[-1][1])
        return whole

    def moves_at(self) -> float:
        """Return when the oldest pane leaves, in observed time; never where the window is empty."""
        return (self.panes[0][0] + PANES + 1) * (self.window_s / PANES) if self.panes else inf

    def _number(self, at: float) -> int:
        return floor(at / (self.window_s / PANES))

    def _drop_before(self, newest: int) -> None:
        gone = 0
        while gone < len(self.panes) and self.panes[gone][0] < newest - PANES:
            gone += 1
        if gone:
            del self.panes[:gone]
            self.before = None


class Track(msgspec.Struct, gc=False):
    """What one field of one device was last sent with, and when that was another value."""

    value: Value | None = None
    sent_at: float = -inf
    known_since: float = inf
    changed_at: float = -inf
    became: dict[str, float] = {}
    """By the values that rules ask about, as text: when the field last became that."""
    unsure: dict[str, float] = {}
    """By values that no rule asked about before: until when the field may have become that."""

    def take(self, at: float, value: Value | None, asked: frozenset[str]) -> None:
        """Take what a reading says of the field; None where it says nothing."""
        if value is None:
            return
        if self.value is None:
            self.known_since = at
        elif value != self.value:
            self.changed_at = at
            if (text := as_text(value)) in asked:
                self.became[text] = at
        self.value, self.sent_at = value, at

    def ask(self, asked: frozenset[str]) -> None:
        """Begin to note when the field becomes one of `asked`, whoever asked before."""
        for text in asked - self.became.keys():
            if self.value is not None and as_text(self.value) == text:
                self.became[text] = self.changed_at
            else:
                self.unsure[text] = self.changed_at


def as_text(value: Value) -> str:
    """Return a value as text; minus nothing is nothing."""
    return str(value + 0.0) if type(value) is float else str(value)
