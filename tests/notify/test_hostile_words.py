"""Whatever a device, a person or a CRM says stays text: it runs nothing, ends nothing, hides nothing."""

import unicodedata
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.templating import LANGUAGES, Templates
from notify.visible import cut, one_line, visible_text
from prevenant.book_uses import EXTRAS, sample_variables

TEMPLATES = Templates()
NAMES = [one for one in TEMPLATES.names if not one.startswith("phrase_")]
SAMPLES = sample_variables(after_dispatch=True, extra=EXTRAS, is_predicted=True)
PLACEHOLDERS = ("why", "wish", "_channel")
"""What the engine says itself: the name of a phrase."""

ATTACKS = st.sampled_from(
    [
        "{{ 7 * 1428571 }}",
        "{% for x in range(10 ** 9) %}x{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "x\r\nBcc: somebody@else.example",
        "x\nSubject: another",
        "\u202egnp.exe",
        "\u2066hidden\u2069",
        "\x1b[2J\x00\x07",
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</Say><Dial>+33939980000</Dial><Say>",
        "]]>&lt;&amp;",
        "\ud800",
        "\U000e0041",
        "x" * 50_000,
        "\u2028\u2029\x85",
    ]
)
VALUES = st.one_of(
    ATTACKS,
    st.text(max_size=200),
    st.tuples(st.text(max_size=20), ATTACKS, st.text(max_size=20)).map("".join),
)


def hostile(value: Any, draw: Any) -> Any:
    """Return sample variables in which every text is somebody else's."""
    if isinstance(value, dict):
        return {
            name: one if name in PLACEHOLDERS else hostile(one, draw) for name, one in value.items()
        }
    if isinstance(value, list):
        return [hostile(one, draw) for one in value]
    return draw(VALUES) if type(value) is str else value


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@given(data=st.data(), name=st.sampled_from(NAMES), language=st.sampled_from(LANGUAGES))
def test_hostile_values_stay_text_in_every_template(
    data: st.DataObject, name: str, language: str
) -> None:
    variables = hostile(SAMPLES, data.draw)
    sms = TEMPLATES.render(name, language, "sms", variables)
    voice = TEMPLATES.render(name, language, "voice", variables)
    email = TEMPLATES.render(name, language, "email", variables)
    assert isinstance(sms, str)
    assert isinstance(voice, str)
    assert isinstance(email, dict)
    assert len(voice) <= 1_500
    assert len(email["subject"]) <= 160
    assert len(email["text"]) <= 20_000
    for text in (sms, voice, *email.values()):
        assert not _hidden(text), _hidden(text)
        assert "9999997" not in text
        text.encode("utf-8")
    mail = EmailMessage()
    mail["Subject"] = email["subject"]
    mail.set_content(email["text"])
    assert mail["Bcc"] is None
    assert mail.as_bytes().count(b"\nSubject:") == 0 or mail.as_bytes().startswith(b"Subject:")
    page = Tags(email["html"])
    assert page.tags <= {"html", "body", "div", "h1", "p", "br"}
    assert page.attributes <= {"lang", "style"}
    say = ET.Element("Say")
    say.text = voice
    assert ET.fromstring(ET.tostring(say)).text == voice


def _hidden(text: str) -> list[str]:
    return [
        f"U+{ord(c):04X}"
        for c in text
        if c not in "\n\t\u200c\u200d"
        and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("channel", ["sms", "voice"])
def test_a_question_is_still_asked_after_very_long_values(channel: str, language: str) -> None:
    variables = hostile(SAMPLES, lambda _: "very long " * 5_000)
    text = str(TEMPLATES.render("job_offer", language, channel, variables))
    assert {"en": "to decline", "fr": "pour refuser"}[language] in text


@given(st.text())
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    fitted = visible_text(text)
    assert visible_text(fitted) == fitted
    assert not _hidden(fitted)
    shown = [c for c in text if c.isprintable()]
    assert [c for c in fitted if c.isprintable()] == shown


@given(st.text(), st.integers(4, 50))
def test_one_line_is_one_line(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert len(line.splitlines()) <= 1
    assert len(line) <= longest
    assert one_line(line, longest) == line


def test_emoji_and_accents_come_through() -> None:
    text = "Élodie 👩‍🔧 à Nîmes, 12 °C — نعم"
    assert one_line(text, 100) == text
    assert one_line(" 5\u202fkm\xa0! ", 100) == "5\u202fkm\xa0!"


def test_what_was_cut_says_so() -> None:
    assert cut("abcdefgh", 8) == "abcdefgh"
    assert cut("abcdefghi", 8) == "abcde..."
