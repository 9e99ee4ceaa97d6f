"""How an SMS is taken apart: carriers count, and bill, each segment.

GSM 03.38: 160 characters of its own alphabet in one segment, 153 each in several; those of the extension
table count twice. Any other character makes it UCS-2: 70 in one, 67 each in several, in UTF-16 units. What
counts twice is never divided between two segments.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_SEGMENTS = 10
"""What a text may take: 1,530 characters of GSM; Twilio takes 1,600."""
GSM, UCS2 = "GSM-7", "UCS-2"

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")
_GSM_ONE, _GSM_EACH = 160, 153
_UCS2_ONE, _UCS2_EACH = 70, 67
_BASIC_PLANE = 0xFFFF
_CUT = "..."
"""Said where something was left out; a single character for it is not in GSM's alphabet."""
_WORD_END = re.compile(r"(?<=\S)(?=\s)")


@dataclass(frozen=True, slots=True)
class Size:
    """How an SMS is sent."""

    segments: int
    encoding: str
    """`GSM-7` or `UCS-2`."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A text that is short enough."""

    text: str
    left_out: int
    """How many of its characters were left out."""


def measure(text: str) -> Size:
    """Return how many segments `text` takes as an SMS, and in which encoding."""
    if set(text) <= _GSM | _EXTENDED:
        widths = (1 + (character in _EXTENDED) for character in text)
        return Size(_pack(widths, _GSM_ONE, _GSM_EACH), GSM)
    widths = (1 + (ord(character) > _BASIC_PLANE) for character in text)
    return Size(_pack(widths, _UCS2_ONE, _UCS2_EACH), UCS2)


def count_segments(text: str) -> int:
    """Return how many segments `text` takes as an SMS."""
    return measure(text).segments


def _pack(widths: Iterable[int], one: int, each: int) -> int:
    """Return how many segments characters of these widths fill, in their order."""
    total, segments, filled = 0, 1, 0
    for width in widths:
        total += width
        if filled + width > each:
            segments, filled = segments + 1, 0
        filled += width
    return 1 if total <= one else segments


def fit_text(text: str, link: str = "", at_most: int = MAX_SEGMENTS) -> Fitted:
    """Return `text` if it takes at most so many segments, else as many of its words as do.

    Where a link is given, it follows what is left.
    """
    if count_segments(text) <= at_most:
        return Fitted(text, 0)
    end = f"{_CUT} {link}" if link and count_segments(f"{_CUT} {link}") <= at_most else _CUT
    # No more than this can fit, however it is encoded.
    head = text[: max(at_most * _GSM_EACH, _GSM_ONE) + 1]

    def taken(at: int) -> int:
        return count_segments(head[:at] + end)

    ends: Sequence[int] = [match.start() for match in _WORD_END.finditer(head)]
    if not ends or taken(ends[0]) > at_most:
        ends = range(len(head))
    at = ends[bisect_right(ends, at_most, key=taken) - 1]
    return Fitted(head[:at] + end, len(text) - at)
