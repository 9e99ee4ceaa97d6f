"""What the engine says in English is said in the language of a page."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jinja2 import Environment

from models.figures import FIGURES, name_figure
from models.leaks import COPY, FLAG
from prevenant.console.said import name_said, translate
from prevenant.console.shell import environment, read_words
from prevenant.target import Target, parse_target

WORK = ("prevenant/cli/tasks_models.py", "prevenant/cli/tasks_rules.py", "models/training.py")
"""Whoever tells how far long work is."""


def in_french(text: str) -> str:
    """Return a sentence of the engine as a French page says it."""
    return translate(text, name_said(read_words("fr").gettext))


def told_by(path: str) -> Iterator[str]:
    """Return what is told of the progress of work; numbers that are put in are 7."""
    for node in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tell":
            what = node.args[1]
            if isinstance(what, ast.Constant):
                yield str(what.value)
            elif isinstance(what, ast.JoinedStr):
                parts = (x.value if isinstance(x, ast.Constant) else "7" for x in what.values)
                yield "".join(map(str, parts))


def rendered(language: str, template: str, **values: object) -> str:
    made: Environment = environment(language)
    return made.from_string(template).render(**values)


@pytest.mark.parametrize("path", WORK)
def test_progress_is_told_in_french(path: str) -> None:
    told = list(told_by(path))
    assert told
    assert not [text for text in told if in_french(text) == text]


def test_work_on_folds_and_versions_names_its_numbers() -> None:
    assert in_french("fold 2 of 5") == "partie 2 sur 5"
    assert in_french("judging version 12") == "évaluation de la version 12"


@pytest.mark.parametrize("target", ["failure within 72h", "remaining life in cycles"])
def test_every_figure_of_a_model_is_named_and_defined_in_french(target: str) -> None:
    found: Target = parse_target(target)
    said = name_said(read_words("fr").gettext).whole
    for name, figure in FIGURES.items():
        assert name_figure(name, found) in said
        assert figure.definition in said


def test_what_looks_like_the_answer_is_said_in_french() -> None:
    said = name_said(read_words("fr").gettext).whole
    assert all(said.get(why, why) != why for why in (COPY, FLAG))


def test_what_is_not_known_stays_as_it_is() -> None:
    text = "version 3 of the rule book cannot be read: line 7"
    assert in_french(text) == text


@pytest.mark.parametrize(
    ("value", "english", "french"),
    [
        (9.28, "9.28", "9,28"),
        (1234.5, "1,234.5", "1\u202f234,5"),
        (1e12, "1e+12", "1e+12"),
        (float("nan"), "nan", "nan"),
        (True, "yes", "oui"),
        (7, "7", "7"),
        ("<b>", "&lt;b&gt;", "&lt;b&gt;"),
    ],
)
def test_values_of_devices_are_shown_as_a_reader_writes_them(
    value: object, english: str, french: str
) -> None:
    assert rendered("en", "{{ value | shown }}", value=value) == english
    assert rendered("fr", "{{ value | shown }}", value=value) == french


def test_a_day_is_shown_without_an_hour() -> None:
    day = datetime(2018, 1, 15, tzinfo=UTC)
    assert rendered("en", "{{ day | day }}", day=day) == "15 Jan 2018"
    assert re.fullmatch(r"15 janv\. 2018", rendered("fr", "{{ day | day }}", day=day))


@pytest.mark.parametrize(
    ("macro", "kept", "french"),
    [
        ("outcome_word", "resolved by Nadia", "résolu par Nadia"),
        ("outcome_word", "resolved", "résolu"),
        ("outcome_word", "cannot go on: no", "cannot go on: no"),
        ("duty_word", "is off shift", "hors de ses horaires"),
        ("duty_word", "is on leave: ill", "en congé : ill"),
        ("duty_word", "has a public holiday (Noël)", "jour férié : Noël"),
        ("presence_word", "it sent a reading", "une mesure est arrivée"),
        ("state_word", "waiting", "en attente"),
    ],
)
def test_kept_sentences_are_said_in_french(macro: str, kept: str, french: str) -> None:
    text = f'{{% from "state_words.html" import {macro} with context %}}{{{{ {macro}(kept) }}}}'
    assert rendered("fr", text, kept=kept) == french
