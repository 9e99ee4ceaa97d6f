"""What an anomaly detector remembers, as plain values and back."""

from typing import Any, ClassVar, Self


class Remembered:
    """State whose slots are numbers, lists of numbers, further state, or lists of it."""

    __slots__: ClassVar[tuple[str, ...]] = ()

    def snapshot(self) -> dict[str, Any]:
        """Return all that is remembered: numbers, lists and dicts alone."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}

    def restore(self, state: dict[str, Any]) -> Self:
        """Take over what another one of the same make remembered."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), state[name]
            if isinstance(mine, Remembered):
                mine.restore(theirs)
            elif isinstance(mine, list) and mine and isinstance(mine[0], Remembered):
                for one, its in zip(mine, theirs, strict=True):
                    one.restore(its)
            else:
                setattr(self, name, list(theirs) if isinstance(mine, list) else theirs)
        return self


def _plain(value: Any) -> Any:
    if isinstance(value, Remembered):
        return value.snapshot()
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
