"""Why a case comes to a person can be said for every fact and every step, in every language."""

from collections.abc import Callable

import pytest

from notify.templating import LANGUAGES, Templates
from prevenant.book_uses import sample_variables
from prevenant.crm.tables import Contact
from tests.workflows.room import Room, read_workflow
from workflows.definition import FACTS
from workflows.runtime import Route, Runtime
from workflows.surveys import KINDS as SURVEYS

CODES = [
    "in_time",
    "nobody_qualified",
    "nobody_accepted",
    "visit_cancelled",
    "not_answered",
    "machine_failed",
    *(f"not_{fact.replace('.', '_')}" for fact in FACTS),
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", CODES)
def test_each_reason_has_its_words(code: str, language: str) -> None:
    variables = {**sample_variables(after_dispatch=False, extra=("why",)), "why": code}
    text = Templates().render("escalation", language, "sms", variables)
    assert "17" in text


@pytest.mark.parametrize(
    "wish", ["person", "complaint", "anger", "misunderstood", "other_time", "no_visit"]
)
def test_each_wish_has_its_words(wish: str) -> None:
    variables = {**sample_variables(after_dispatch=False, extra=("said",)), "wish": wish}
    assert Templates().render("customer_needs_person", "fr", "sms", variables)


def test_each_survey_has_its_template() -> None:
    names = Templates().names
    assert all(f"survey_{kind}" in names for kind in SURVEYS)


MEASURED = """
- dispatch: {skill: cold, at_once: 2}
  otherwise: {hand_off: desk}
- command: {topic: a/b, payload: {at: "{{ values.t }}", why: "{{ alarm.message }}"}}
"""


@pytest.mark.parametrize(
    ("message", "french"),
    [({"en": "{{ values.t }} °C.", "fr": "{{ values.t }} °C !"}, "28,6 °C !"),
     ({"en": "{{ values.t }} °C."}, "28.6 °C."),
     ({"fr": "{{ values.t }} °C !"}, "28,6 °C !"),
     ({"": "{{ values.t }} °C."}, "28,6 °C.")],
    ids=["in both", "in English alone", "in French alone", "in no language"],
)  # fmt: skip
def test_people_read_numbers_in_the_language_of_the_text_and_machines_with_a_point(
    room: Callable[[str], Room], message: dict[str, str], french: str
) -> None:
    one = room(MEASURED)
    routes = {"hot": Route("visit", message)}
    workflows = {"visit": read_workflow(MEASURED)}
    one.runtime = Runtime(one.store, one.clock, workflows, routes, one.templates)
    with one.store.write() as session:
        session.get_one(Contact, "tom").language = "fr"
    one.raise_alarm(values={"t": 28.6})
    said = {one.contact_id: one.texts["sms"] for one in one.messages()}
    assert french in said["tom"]
    assert "à 1,1 km de vous" in said["tom"]
    assert "2.2 km from you" in said["tim"]
    one.reply("tim", "1")
    (command,) = [one.texts["mqtt"] for one in one.messages() if one.role == "machine"]
    assert '"28.6"' in command
    if "en" in message:
        assert "28.6 °C." in said["tim"]
        assert "28.6 °C." in command
