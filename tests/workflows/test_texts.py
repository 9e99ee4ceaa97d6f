"""Why a case comes to a person can be said for every fact and every step, in every language."""

import pytest

from notify.templating import LANGUAGES, Templates
from prevenant.book_uses import sample_variables
from workflows.definition import FACTS
from workflows.questions import SURVEYS

CODES = [
    "in_time",
    "nobody_qualified",
    "nobody_accepted",
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


@pytest.mark.parametrize("wish", ["person", "other_time", "no_visit"])
def test_each_wish_has_its_words(wish: str) -> None:
    variables = {**sample_variables(after_dispatch=False, extra=("said",)), "wish": wish}
    assert Templates().render("customer_needs_person", "fr", "sms", variables)


def test_each_survey_has_its_template() -> None:
    names = Templates().names
    assert all(f"survey_{kind}" in names for kind in SURVEYS)
