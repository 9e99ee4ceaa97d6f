"""What comes from outside, made fit to stand in a text: seen as it is, on one line, and not endless.

Control characters could end a header or command a terminal, and those that turn the direction of writing
make a text read as what it is not. Joiners within a word stay: emoji and some scripts need them.
"""

import unicodedata

_JOINERS = frozenset("\u200c\u200d")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKED_AS_CUT = "..."


def visible_text(text: str) -> str:
    """Return a text without what cannot be seen; its lines and tabs stay."""
    if text.isprintable():
        return text
    kept = (c for c in text.replace("\r\n", "\n") if c in "\n\t" or not _is_hidden(c))
    return "".join(kept)


def whole_text(text: str) -> str:
    """Return a text that every store takes: half an emoji is a question mark, and NUL is nothing.

    Gateways divide long texts between any two units of UTF-16.
    """
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def one_line(text: str, longest: int) -> str:
    """Return a text without what cannot be seen, as one line of at most `longest` characters."""
    if not text.isprintable():
        # What parts lines parts words here, also where it is a control character.
        text = "".join(" " if c.isspace() and c not in "\xa0\u202f" else c for c in text)
        text = " ".join(one for one in visible_text(text).split(" ") if one)
    return cut(text, longest)


def cut(text: str, longest: int) -> str:
    """Return a text that says so where it was cut."""
    if len(text) <= longest:
        return text
    return text[: longest - len(_MARKED_AS_CUT)].rstrip() + _MARKED_AS_CUT


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS
