"""The words of the console: each English one has its French, and no French one is left over."""

import io
from collections.abc import Iterable
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

CONSOLE = Path("prevenant/console")


def said() -> set[str]:
    """Return every text that a template or a page translates."""
    methods = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
    options = {"**/templates/**.html": {"trim_blocks": "true", "silent": "false"}}
    found = extract_from_dir(CONSOLE, methods, options, keywords={"_": None, "ngettext": (1, 2)})
    texts: set[str] = set()
    for _, _, message, _, _ in found:
        texts.update(message if isinstance(message, tuple) else (message,))
    return texts


def forms(text: str | Iterable[str] | None) -> list[str]:
    """Return a text, or each of its forms."""
    return [text] if isinstance(text, str) else list(text or ())


def translated() -> dict[str, str]:
    """Return every French text by its English one."""
    words: dict[str, str] = {}
    for path in (CONSOLE / "words" / "fr").glob("*.po"):
        for one in read_po(io.BytesIO(path.read_bytes()), locale="fr"):
            for english, french in zip(forms(one.id), forms(one.string), strict=True):
                assert words.setdefault(english, french) == french, f"{english!r} stands twice"
    words.pop("", None)
    return words


def test_everything_is_said_in_french() -> None:
    words = translated()
    assert not {text for text in said() if not words.get(text)}


def test_nothing_is_translated_that_nobody_says() -> None:
    assert not translated().keys() - said()


def test_both_languages_name_the_same_values() -> None:
    for english, french in translated().items():
        names = [sorted(part for part in text.split("%(")[1:]) for text in (english, french)]
        keys = [sorted(one.split(")")[0] for one in part) for part in names]
        assert keys[0] == keys[1], english
