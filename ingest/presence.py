"""Status topics: where a device, or the broker by its last will, says whether it is online."""

from typing import TYPE_CHECKING, Any

import msgspec

from ingest.mapping import read_word
from ingest.mqtt import RETAINED, Frame
from ingest.topics import TopicPattern
from prevenant.domain import DeviceType, Presence, Status, device_key
from prevenant.errors import Undecodable

if TYPE_CHECKING:
    from ingest.decode import Decoded

_LONGEST = 4_096


class StatusTopic:
    """The status topics of one device type."""

    def __init__(self, device_type: DeviceType, status: Status) -> None:
        self._type, self._status = device_type, status
        self._pattern = TopicPattern(status.topic)

    def match(self, topic: bytes) -> "_DeviceStatus | None":
        """Return the status of the device whose topic this is, or None if it is another topic."""
        names = self._pattern.match(topic)
        return _DeviceStatus(self._type.name, self._status, *names) if names else None


class _DeviceStatus:
    """The status of one device."""

    def __init__(self, type_name: str, status: Status, site: str, device: str) -> None:
        self._type, self._status = type_name, status
        self._site, self._id = site, device_key(site, device)

    def take(self, frame: Frame, received_at: float, decoded: "Decoded") -> None:
        """Add whether the device is online. Raises Undecodable where the payload is another word."""
        online = read_status(self._status, frame[1]) == self._status.online
        reason = "it said so itself, or the broker by its last will"
        if frame[2] & RETAINED:
            reason = "the broker had kept its status"
        decoded.presences.append(
            Presence(self._type, self._site, self._id, online, received_at, reason)
        )


def read_status(status: Status, payload: bytes) -> str:
    """Return the word of a status message. Raises Undecodable where it is neither."""
    word: Any = payload[:_LONGEST].decode(errors="backslashreplace").strip()
    if status.path is not None:
        try:
            word = read_word("a word", status.path.find(msgspec.json.decode(payload)))
        except (msgspec.MsgspecError, UnicodeDecodeError, Undecodable, RecursionError):
            word = word[:40]
    if word not in {status.online, status.offline}:
        message = f"the status {word[:40]!r} is neither {status.online!r} nor {status.offline!r}"
        raise Undecodable(message)
    return str(word)
