"""Where the steps of a workflow are written, for what is found wrong with them later."""

from dataclasses import dataclass, field

from prevenant.document import Mapping as Pairs
from prevenant.document import Value
from workflows.definition import Step


@dataclass(frozen=True, slots=True)
class Place:
    """Where one step is written."""

    whole: Value
    head: Value
    """The value of the key that names the step's kind."""
    pairs: Pairs | None
    options: Pairs | None
    """The pairs of the head, where it is a mapping."""
    step: Step
    """Kept with its place: a step is known by its identity, for two may say the same."""

    def of(self, key: str) -> Value:
        """Return where a key's value stands; where it is not written, where the step is."""
        return self.written(key) or self.head

    def written(self, key: str) -> Value | None:
        """Return the value of a key, or None."""
        for pairs in (self.options, self.pairs):
            value = pairs.get(key) if pairs else None
            if value is not None:
                return value
        return None


@dataclass
class Written:
    """The places of a workflow's steps."""

    _places: dict[int, Place] = field(default_factory=dict)
    _options: dict[tuple[int, int], Pairs] = field(default_factory=dict)

    def add(self, step: Step, whole: Value, head: Value, pairs: Pairs | None = None) -> None:
        """Remember where a step is written."""
        options = self._options.get((head.line, head.column))
        self._places[id(step)] = Place(whole, head, pairs, options, step)

    def note_options(self, head: Value, options: Pairs) -> None:
        """Remember the mapping in which a step's own keys are written."""
        self._options[head.line, head.column] = options

    def place_of(self, step: Step) -> Place:
        """Return where a step is written."""
        return self._places[id(step)]
