"""How many segments an SMS takes: carriers count, and bill, each.

GSM 03.38: 160 characters of its own alphabet in one segment, 153 each in several; those of the extension
table count twice. Any other character makes it UCS-2: 70 in one, 67 each in several, in UTF-16 units.
"""

from math import ceil

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")
_GSM_ONE, _GSM_EACH = 160, 153
_UCS2_ONE, _UCS2_EACH = 70, 67


def count_segments(text: str) -> int:
    """Return how many segments `text` takes as an SMS."""
    if set(text) <= _GSM | _EXTENDED:
        length = len(text) + sum(character in _EXTENDED for character in text)
        return 1 if length <= _GSM_ONE else ceil(length / _GSM_EACH)
    length = len(text.encode("utf-16-le")) // 2
    return 1 if length <= _UCS2_ONE else ceil(length / _UCS2_EACH)
