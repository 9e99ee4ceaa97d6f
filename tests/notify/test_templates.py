"""Every shipped template can be worded in every language on every channel, and cannot do harm."""

from datetime import UTC, datetime

import pytest
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError, UndefinedError

from notify.message import Draft, Recipient, word_message
from notify.templating import LANGUAGES, Templates, Worded, shipped_templates
from prevenant.book_uses import sample_variables

TEMPLATES = Templates()
NOW = datetime(2026, 5, 4, 8, tzinfo=UTC)
EXTRA = (
    "technician",
    "visit",
    "offer",
    "why",
    "wish",
    "said",
    "who",
    "choices",
    "owner",
    "storm",
    "digest",
)
VARIABLES = sample_variables(after_dispatch=True, extra=EXTRA)


def test_mail_without_words_of_its_own_says_the_text() -> None:
    worded = TEMPLATES.render("job_gone", "en", "email", VARIABLES)
    assert isinstance(worded, dict)
    assert worded["subject"] == "Job 17 has gone to somebody else"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", TEMPLATES.names)
def test_it_can_be_worded(name: str, language: str) -> None:
    for channel in ("sms", "voice", "email"):
        worded = TEMPLATES.render(name, language, channel, VARIABLES, "Europe/Paris")
        if isinstance(worded, dict):
            assert worded["subject"]
            assert "\n" not in worded["subject"]
            assert worded["text"]
            assert "<html" in worded["html"]
        else:
            assert worded
            assert "  " not in worded.replace("\n", " ")


def test_both_languages_say_everything() -> None:
    for name, languages in shipped_templates().items():
        assert set(languages) == set(LANGUAGES), name
        assert set(languages["en"]) == set(languages["fr"]), name


def test_a_text_message_stays_short() -> None:
    for name in TEMPLATES.names:
        for language in LANGUAGES:
            text = TEMPLATES.render(name, language, "sms", VARIABLES)
            assert len(str(text)) <= 400, f"{name} {language} has {len(str(text))} characters"


def test_times_are_the_recipients_own() -> None:
    text = TEMPLATES.render("visit_planned", "fr", "sms", VARIABLES, "Europe/Paris")
    assert "lundi 4 mai, 14:30-16:30" in str(text)
    text = TEMPLATES.render("visit_planned", "en", "sms", VARIABLES, "America/Montreal")
    assert "Monday 4 May, 08:30-10:30" in str(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_call_speaks_of_a_camera_only_where_there_is_one(language: str) -> None:
    def said(**device: str) -> str:
        variables = {**VARIABLES, "device": {**VARIABLES["device"], **device}}
        return str(TEMPLATES.render("security_callout", language, "voice", variables)).lower()

    assert ("camera" in said()) or ("caméra" in said())
    assert "cam" not in said(camera_url="").replace("camille", "")
    assert said(camera_url="").endswith(".")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [one for one in TEMPLATES.names if not one.startswith("phrase")])
def test_a_device_without_a_place_of_its_own_is_named_once(name: str, language: str) -> None:
    device = {**VARIABLES["device"], "label": "D77", "place": "D77"}
    site = {**VARIABLES["site"], "name": "Hall", "address": "Hall"}
    variables = {**VARIABLES, "device": device, "site": site}
    for channel in ("sms", "voice", "email"):
        worded = TEMPLATES.render(name, language, channel, variables)
        text = worded["text"] if isinstance(worded, dict) else worded
        assert "D77, D77" not in text
        assert "Hall, Hall" not in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", TEMPLATES.names)
def test_no_address_of_a_page_is_read_out_in_a_call(name: str, language: str) -> None:
    link = "https://service.example.com/v/AbCdEfGhIjKlMnOpQrStUvWx"
    said = str(TEMPLATES.render(name, language, "voice", {**VARIABLES, "link": link}))
    assert link not in said


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "28.6 °C, 3.0, 12, 1e-05, yes"), ("fr", "28,6 °C, 3,0, 12, 1e-05, yes")],
)
def test_numbers_are_written_as_the_language_has_them(language: str, expected: str) -> None:
    text = (
        "{{ values.t | round(1) }} °C, {{ values.x | round }}, {{ values.n }}, {{ values.small }}, "
        "{{ 'yes' if values.t == 28.64 else 'no' }}"
    )
    values = {"t": 28.64, "x": 3.2, "n": 12, "small": 1e-05}
    assert TEMPLATES.render_text(text, language, {"values": values}) == expected


@pytest.mark.parametrize(
    ("language", "words"), [("en", "yes, no"), ("fr", "oui, non"), ("xx", "yes, no")]
)
def test_people_read_yes_and_no_and_machines_true_and_false(language: str, words: str) -> None:
    text = "{{ values.open }}, {{ values.warm }}"
    variables = {"values": {"open": True, "warm": False}}
    own = Templates({"said": {language: {"sms": text}}})
    assert own.render("said", language, "sms", variables) == words
    assert own.render_text(text, language, variables, to_people=True) == words
    assert own.render_text(text, language, variables) == "True, False"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Open since {{ values.since }}.", "Open since ."),
        ("Open{% if values.since %} since {{ values.since }}{% endif %}.", "Open."),
        ("Open since {{ values.since | default('a while') }}.", "Open since a while."),
        ("Open since {{ values.since | d('a while', true) }}.", "Open since a while."),
        ("{{ values.other | default('?') }}{{ values.none is defined }}", "?no"),
        ("{{ values.since is none }}", "yes"),
        ("{{ values.zero | default('?') }}{{ values.empty | default('?') }}", "0"),
    ],
)
def test_what_is_not_known_is_said_as_nothing(text: str, said: str) -> None:
    values = {"since": None, "zero": 0, "empty": ""}
    templates = Templates({"own": {"en": {"sms": text, "email": {"subject": text, "text": text}}}})
    assert templates.render("own", "en", "sms", {"values": values}) == said
    worded = templates.render("own", "en", "email", {"values": values})
    assert isinstance(worded, dict)
    assert (worded["subject"], worded["text"]) == (said, said)
    assert "None" not in worded["html"]
    people = templates.render_text(text, "en", {"values": values}, to_people=True)
    assert people == said


def test_a_machine_is_given_no_word_for_what_is_not_known() -> None:
    values = {"since": None}
    said = TEMPLATES.render_text("[{{ values.since }}]", "en", {"values": values})
    assert said == "[]"
    assert TEMPLATES.render_text("{{ values | tojson }}", "en", {"values": values}) == (
        '{"since": null}'
    )


def test_a_language_that_nobody_knows_keeps_the_point() -> None:
    assert TEMPLATES.render_text("{{ 0.5 }}", "xx", {}) == "0.5"


def test_an_unknown_language_falls_back_to_english() -> None:
    assert "Sorry" in str(TEMPLATES.render("reply_unclear", "de", "sms", VARIABLES))


def test_a_book_can_replace_one_language_of_a_template() -> None:
    own = Templates({"all_clear": {"en": {"sms": "Fine again, {{ contact.first_name }}."}}})
    assert own.render("all_clear", "en", "sms", VARIABLES) == "Fine again, Camille."
    assert str(own.render("all_clear", "fr", "sms", VARIABLES)).startswith("Terminé")


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ case.__class__.__init__.__globals__ }}",
        "{% for x in range(10**9) %}x{% endfor %}",
        "{{ values.append(1) }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(text: str) -> None:
    with pytest.raises((SecurityError, UndefinedError, OverflowError, TemplateError)):
        TEMPLATES.render_text(text, "en", {"case": {}, "values": [1]})


def test_what_a_device_says_is_text_and_never_markup_or_template() -> None:
    hostile = {**VARIABLES, "alarm": {**VARIABLES["alarm"], "message": "<b>{{ 7 * 7 }}</b>"}}
    worded = TEMPLATES.render("site_notice", "en", "email", hostile)
    assert isinstance(worded, dict)
    assert "{{ 7 * 7 }}" in worded["text"]
    assert "&lt;b&gt;{{ 7 * 7 }}" in worded["html"]


def test_of_two_books_with_the_same_text_each_says_its_own_phrase() -> None:
    said = []
    for word in ("lift", "elevator"):
        own: dict[str, dict[str, Worded]] = {
            "stuck": {"en": {"sms": "The {{ 'machine' | phrase }} is stuck."}},
            "phrase_machine": {"en": {"sms": word}},
        }
        said.append(Templates(own).render("stuck", "en", "sms", {}))
    assert said == ["The lift is stuck.", "The elevator is stuck."]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ nothing ~ ' and ' ~ nothing }}.", "and ."),
        ("{{ 'at ' ~ there ~ nothing }}", "at home"),
        (
            "[{{ nothing | string }}{{ nothing | upper }}{{ nothing | title }}{{ nothing | trim }}]",
            "[]",
        ),
        ("{{ [there, nothing, 3] | join(', ') }}", "home, 3"),
        ("{{ [{'a': there}, {'a': nothing}] | join(', ', attribute='a') }}", "home"),
        ("{{ [nothing, there] | map('string') | join('-') }}", "-home"),
        ("{{ '%s is %s' | format(there, nothing) }}.", "home is ."),
        ("{{ nothing | replace('n', 'm') }}{{ nothing | urlencode }}{{ nothing | e }}!", "!"),
    ],
)
def test_what_is_not_known_is_nothing_also_in_what_is_made_of_it(text: str, said: str) -> None:
    values = {"nothing": None, "there": "home"}
    assert Templates().render_text(text, "en", values, to_people=True) == said
    assert Templates().render_text(text, "en", values) == said


def test_a_missing_variable_is_an_error_also_where_it_is_joined() -> None:
    for text in ("{{ 'a' ~ gone }}", "{{ gone | string }}", "{{ [gone] | join }}"):
        with pytest.raises(TemplateError):
            Templates().render_text(text, "en", {})


@pytest.mark.parametrize("name", [" ", "\u200b", ""])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello {{ contact.first_name }},\n\nwe come.", "Hello,\n\nwe come."),
        ("Thank you, {{ contact.first_name }}.", "Thank you."),
        ("Go now, {{ contact.first_name }}: the door.", "Go now: the door."),
        ("C'est fait, {{ contact.first_name }} : la porte.", "C'est fait : la porte."),
        ("{{ contact.first_name }}, êtes-vous content ?", "Êtes-vous content ?"),
        ("Zoë va vers vous, {{ contact.first_name }}, et arrive.", "Zoë va vers vous, et arrive."),
    ],
)
def test_somebody_without_a_name_is_greeted_without_one(name: str, text: str, said: str) -> None:
    templates = Templates({"own": {"en": {"sms": text}}})
    recipient = Recipient("c", name, "customer", "en", "UTC", {"sms": "+33639980041"})
    message = word_message(templates, Draft("k", recipient, "own", {}, [["sms"]], 3), NOW)
    assert message.texts["sms"] == said
