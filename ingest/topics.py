"""Topics: which device and which type a message belongs to."""

from collections.abc import Iterable

from prevenant.domain import DeviceType
from prevenant.errors import Undecodable

Identity = tuple[DeviceType, str, str]
"""The device's type, its site and its name; empty where the topic does not name them."""


LONGEST_NAME = 200
"""How many characters the name of a site or device has at most: a database's index has limits, too."""


def is_name(text: str) -> bool:
    """Return whether a text can name a site or a device."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


class TopicPattern:
    """A topic pattern of the book, such as `airport/{site}/doors/{device}`."""

    def __init__(self, pattern: str) -> None:
        self._levels = pattern.split("/")

    @property
    def subscription(self) -> str:
        """What to subscribe to: everything below the pattern's fixed beginning.

        This is wider than the pattern on purpose: a device that speaks on a mistaken topic beside
        the others is then seen in quarantine instead of never.
        """
        if _is_open(self._levels[0]):
            return "/".join("+" if _is_open(level) else level for level in self._levels)
        return f"{self._levels[0]}/#"

    def match(self, topic: bytes) -> tuple[str, str] | None:
        """Return the site and the device that a topic names, or None if it is another pattern's.

        Raises Undecodable where the topic is no text, or a name in it none.
        """
        try:
            levels = topic.decode().split("/")
        except UnicodeDecodeError:
            message = "the topic is no UTF-8"
            raise Undecodable(message) from None
        if len(levels) != len(self._levels):
            return None
        names = {"site": "", "device": ""}
        for level, expected in zip(levels, self._levels, strict=True):
            if expected.startswith("{"):
                if not level:
                    return None
                names[expected[1:-1]] = level
            elif expected not in {"+", level}:
                return None
        for what, name in names.items():
            if name and not is_name(name):
                message = (
                    f"{name[:40]!r} cannot name a {what}: it has more than {LONGEST_NAME} "
                    "characters, or some that cannot be printed"
                )
                raise Undecodable(message)
        return names["site"], names["device"]

    def overlaps(self, other: "TopicPattern") -> bool:
        """Return whether one topic could match both patterns."""
        return len(self._levels) == len(other._levels) and all(
            _is_open(ours) or _is_open(theirs) or ours == theirs
            for ours, theirs in zip(self._levels, other._levels, strict=True)
        )


class Topics:
    """All topic patterns of a book."""

    def __init__(self, device_types: Iterable[DeviceType]) -> None:
        self._patterns = [(one, TopicPattern(one.topic)) for one in device_types]
        self._all = [pattern for _, pattern in self._patterns] + [
            TopicPattern(one.status.topic) for one, _ in self._patterns if one.status
        ]

    @property
    def subscriptions(self) -> list[str]:
        """What to subscribe to, each once, nothing that another one covers."""
        wanted = dict.fromkeys(pattern.subscription for pattern in self._all)
        roots = {filter_[:-2] for filter_ in wanted if filter_.endswith("/#")}
        return [f for f in wanted if f.endswith("/#") or f.split("/")[0] not in roots]

    def identify(self, topic: bytes) -> Identity:
        """Return whom `topic` belongs to. Raises Undecodable where no pattern matches."""
        for device_type, pattern in self._patterns:
            names = pattern.match(topic)
            if names is not None:
                return device_type, *names
        message = "no device type of the book has this topic"
        raise Undecodable(message)


def _is_open(level: str) -> bool:
    return level == "+" or level.startswith("{")
