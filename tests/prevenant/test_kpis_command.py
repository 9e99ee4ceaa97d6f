"""`prevenant kpis`: figures as a table, as CSV and as JSON; what cannot be answered is one line."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from prevenant.kpis import KPIS, kpi_called, show_value
from tests.nursery import ROOT
from tests.prevenant.test_cli import prevenant


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare a store in which nothing has happened yet."""
    tmp_path = tmp_path_factory.mktemp("kpis")
    prevenant("crm", "import", str(ROOT / "prevenant/crm/demo"), folder=tmp_path)
    return tmp_path


def test_a_service_that_has_not_begun_has_no_figures(folder: Path) -> None:
    shown, _ = prevenant("kpis", folder=folder)
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0] == "figure value nine of ten within of without"
    assert lines[1:] == [f"{kpi.said_in('en').title} \u2013 0" for kpi in KPIS]
    found = json.loads(prevenant("kpis", "--json", "--kpi", "csat", folder=folder)[0])
    assert [one["name"] for one in found] == ["csat"]
    # Named days: two days back from now can reach into a fourth, where one of them has 23 hours.
    span = ("--since", "2026-05-04T12:00+02:00", "--until", "2026-05-06T12:00+02:00")
    typed = ("kpis", "--csv", "--every", "day", *span, "--language", "fr")
    rows = list(csv.DictReader(io.StringIO(prevenant(*typed, folder=folder)[0])))
    assert len(rows) == len(KPIS) * 4
    assert rows[0]["title"] == "Délai de détection"


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        (["--every", "year"], "--every year: write one of day, week, month"),
        (["--by", "town"], "--by town: write one of site, customer, rule, severity"),
        (["--severity", "bad"], "--severity bad: write one of info, minor"),
        (["--kpi", "nsp"], "there is no figure 'nsp': did you mean 'nps'?"),
        (["--since", "soon"], "'soon' is no time"),
    ],
)
def test_what_cannot_be_answered(folder: Path, typed: list[str], error: str) -> None:
    shown, said = prevenant("kpis", *typed, folder=folder, status=1)
    assert shown == ""
    assert said.startswith(f"error: {error}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "english", "french"),
    [
        ("time_to_tell", 3.25, "3.2 sec", "3,2 s"),
        ("time_to_tell", 59.7, "1 min", "1 min"),
        ("time_to_tell", 3661.0, "1 hr 1 min", "1 h 1 min"),
        ("time_to_tell", 172_859.0, "2 days", "2 j"),
        ("first_visit_fix", 87.5, "87.5 %", "87,5 %"),
        ("nps", 42.0, "+42", "+42"),
        ("ces", 6.1, "6.1 / 7", "6,1 / 7"),
        ("csat", None, "\u2013", "\u2013"),
    ],
)
def test_values_are_written_for_people(
    name: str, value: float | None, english: str, french: str
) -> None:
    kpi = kpi_called(name)
    # Which of the spaces that do not break it is, is the language's own affair.
    said = [re.sub(r"\s", " ", show_value(kpi, value, one)) for one in ("en", "fr")]
    assert said == [english, french]
