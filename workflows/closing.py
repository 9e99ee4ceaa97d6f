"""The technician's closing code: whether what was predicted was found, and what else the cause was.

3 confirmed: bearing worn      3 no fault found      3 other cause: door left open
"""

import re

CONFIRMED, NO_FAULT, OTHER = "confirmed", "no_fault_found", "other_cause"
CODES = (CONFIRMED, NO_FAULT, OTHER)

_WORDS = {
    CONFIRMED: ("confirmed", "confirm", "as predicted", "confirmée", "confirmé", "comme prévu"),
    NO_FAULT: (
        "no fault found",
        "no fault",
        "nothing found",
        "nothing wrong",
        "nff",
        "aucun défaut",
        "aucune panne",
        "pas de panne",
        "pas de défaut",
        "rien trouvé",
        "rien à signaler",
        "ras",
    ),
    OTHER: ("other cause", "another cause", "other", "autre cause", "autre"),
}
_CODE = {word: code for code, words in _WORDS.items() for word in words}
_BEGINS = re.compile(
    rf"({'|'.join(re.escape(word) for word in sorted(_CODE, key=len, reverse=True))})(?!\w)\s*[:,.-]*\s*",
    re.IGNORECASE,
)


def read_code(text: str) -> tuple[str, str]:
    """Return the closing code that a technician's words begin with, and the rest: the cause.

    Without one of these words the code is empty, and everything is the cause.
    """
    match = _BEGINS.match(text.strip())
    if match is None:
        return "", text.strip()
    return _CODE[match[1].lower()], text.strip()[match.end() :].strip()
