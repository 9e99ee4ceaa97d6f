"""`prevenant templates`: what is said can be seen and judged before it is said."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from notify.segments import count_segments
from notify.templating import LANGUAGES
from prevenant.book import load_book
from prevenant.book_templates import judge_templates, preview
from prevenant.cli import app
from prevenant.errors import ConfigurationError, PrevenantError

BOOK = load_book(Path("rules.yaml"))


LONG_SUBJECT = f"""
  mine:
    en: {{email: {{subject: '{"x" * 79}', text: x}}}}
    fr: {{email: {{subject: x, text: x}}}}
"""


def write_book(folder: Path, templates: str) -> Path:
    path = folder / "rules.yaml"
    text = Path("rules.yaml").read_text("utf-8")
    path.write_text(f"{text}\ntemplates:\n{templates}", "utf-8")
    return path


def run(*typed: str) -> str:
    result = CliRunner().invoke(app, ["templates", *typed])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_shipped_templates_are_good() -> None:
    assert list(judge_templates(BOOK)) == []
    assert "templates: good" in run("check", "--book", "rules.yaml")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("channel", ["sms", "voice", "email"])
@pytest.mark.parametrize("name", BOOK.templates.names)
def test_every_template_can_be_previewed(name: str, channel: str, language: str) -> None:
    worded = preview(BOOK, name, language, channel)
    assert worded.text
    assert bool(worded.subject) == (channel == "email")


def test_a_preview_says_what_an_sms_costs() -> None:
    shown = run("preview", "visit_planned", "--lang", "fr", "--book", "rules.yaml")
    text, _, cost = shown.strip().rpartition("\n\n")
    assert "lundi 4 mai" in text
    assert cost == f"{count_segments(text)} segments, {len(text)} characters, {_encoding(text)}"


def _encoding(text: str) -> str:
    return "GSM-7" if all(c in "éèùàç" or ord(c) < 128 for c in text) else "UCS-2"


def test_a_preview_of_mail_has_its_subject_and_its_html() -> None:
    typed = ("preview", "visit_planned", "--channel", "email", "--book", "rules.yaml")
    assert run(*typed).startswith("Subject: We noticed something")
    assert "<!doctype html>" in run(*typed, "--html")


def test_templates_are_listed_with_who_uses_them(tmp_path: Path) -> None:
    path = write_book(tmp_path, "  mine:\n    en: {sms: Hello}\n")
    rows = {row["name"]: row for row in json.loads(run("list", "--json", "--book", str(path)))}
    assert rows["mine"]["from"] == "the book"
    assert rows["visit_planned"]["languages"] == ["en", "fr"]
    assert rows["visit_planned"]["channels"] == ["sms", "voice", "email"]
    assert rows["visit_planned"]["used_by"]
    assert "visit_planned" in run("list", "--book", str(path))


@pytest.mark.parametrize(
    ("templates", "finding"),
    [
        ("  mine:\n    en: {sms: Hello}\n", "not written in 'fr': who reads that gets 'en'"),
        (
            "  mine:\n    en: {sms: Hello, voice: Hello}\n    fr: {sms: Bonjour}\n",
            "words for voice in 'en' and none in 'fr'",
        ),
        (
            "  mine:\n    en: {sms: 'Hello {{ nobody }}'}\n    fr: {sms: Bonjour}\n",
            "(en, sms): it cannot be worded: 'nobody' is undefined",
        ),
        (
            f"  mine:\n    en: {{sms: '{'x' * 460}'}}\n    fr: {{sms: Bonjour}}\n",
            "(en, sms): it takes 4 segments, each billed: shorten it to 3",
        ),
        (
            f"  mine:\n    en: {{sms: '{'x' * 240}ŵ'}}\n    fr: {{sms: Bonjour}}\n",
            "it takes 4 segments, since 'ŵ' is none of GSM's characters",
        ),
        (
            f"  mine:\n    en: {{voice: '{'x' * 601}'}}\n    fr: {{voice: Bonjour}}\n",
            "(en, voice): 601 characters take too long to say",
        ),
        (
            LONG_SUBJECT,
            "(en, email): its subject has 79 characters",
        ),
        (
            "  mine:\n    en: {sms: '{{ others or \"\" }}'}\n    fr: {sms: Bonjour}\n",
            "(en, sms): it says nothing",
        ),
    ],
)
def test_what_is_doubtful_is_said_with_its_remedy(
    templates: str, finding: str, tmp_path: Path
) -> None:
    path = write_book(tmp_path, templates)
    (said,) = judge_templates(load_book(path))
    assert finding in said
    result = CliRunner().invoke(app, ["templates", "check", "--book", str(path)])
    assert result.exit_code == 1
    assert finding in result.stderr


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        (("visit_plannd", "en", "sms"), "there is no template 'visit_plannd'"),
        (("visit_planned", "de", "sms"), "not written in 'de': it is in en and fr"),
        (("visit_planned", "en", "fax"), "'fax' is no channel"),
    ],
)
def test_what_cannot_be_previewed_says_why(typed: tuple[str, str, str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        preview(BOOK, *typed)


def test_a_template_that_cannot_be_worded_says_why(tmp_path: Path) -> None:
    path = write_book(tmp_path, "  mine:\n    en: {sms: 'Hello {{ nobody }}'}\n")
    with pytest.raises(ConfigurationError, match="cannot be worded \\(en, sms\\): 'nobody' is"):
        preview(load_book(path), "mine", "en", "sms")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "cannot be worded .*recursion"),
        ("{{ " + "(" * 2_000 + "1" + ")" * 2_000 + " }}", "no template.*nested too deep"),
        ("{{ " + "not " * 5_000 + "1 }}", "no template.*nested too deep"),
        ("{{ 'a' * 10 ** 15 }}", "cannot be worded"),
    ],
)
def test_a_template_without_an_end_says_so(tmp_path: Path, text: str, reason: str) -> None:
    path = write_book(tmp_path, f'  mine:\n    en: {{sms: "{text}"}}\n')
    with pytest.raises(PrevenantError, match=reason):
        preview(load_book(path), "mine", "en", "sms")


def test_what_a_mail_does_to_calendars_is_invite_or_cancel(tmp_path: Path) -> None:
    mail = "{subject: x, text: x, calendar: remove}"
    path = write_book(tmp_path, f"  mine:\n    en: {{email: {mail}}}\n")
    with pytest.raises(ConfigurationError, match="'remove' is not known here: write invite or"):
        load_book(path)


def test_a_preview_says_nothing_of_what_is_not_known(tmp_path: Path) -> None:
    words = "{% set eta = none %}Soon{{ eta }}, {{ eta | default('today') }}."
    book = load_book(write_book(tmp_path, f'  mine: {{en: {{sms: "{words}"}}}}'))
    assert preview(book, "mine", "en", "sms").text == "Soon, today."
