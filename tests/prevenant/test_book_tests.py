"""Tests of rule books that judge what follows from alarms: each expectation can fail."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from prevenant.book_tests import run_book_tests
from prevenant.cli import app
from prevenant.errors import BookError

_ROOT = Path(__file__).parents[2]
_TEST = f"""
book: {_ROOT / "rules.yaml"}
crm: {_ROOT / "prevenant/crm/demo"}
tests:
  - name: a warm terminal
    begins: 2026-05-04T10:00+02:00
    every: 1m
    until: 1h
    series:
      thermometer t2/T3: {{temperature: "22 27 x30 24 x6"}}
    answers:
      - 8m Omar Diallo: 1
    expect:
      - 6m raised terminal-temperature t2/T3
      - 36m cleared terminal-temperature t2/T3
    steps:
      - 6m offer.sent Omar Diallo
      - 8m offer.accepted
    messages:
      - {{at: 6m, to: Claire Vasseur, by: email, says: The temperature is 27.0 °C}}
      - {{to: Omar Diallo, template: job_offer}}
      - {{at: 8m, by: sms, says: ["Elle est à vous", "10:30-12:30"]}}
"""


def _run(folder: Path, old: str = "", new: str = "") -> list[str]:
    """Run the test with one thing otherwise; return what differs."""
    assert old in _TEST
    path = folder / "rules.test.yaml"
    path.write_text(_TEST.replace(old, new, 1) if old else _TEST, "utf-8")
    (result,) = run_book_tests(path)
    assert result.place == f"{path}:5:5"
    return result.differences


def test_everything_is_as_expected(tmp_path: Path) -> None:
    assert _run(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("36m cleared", "37m cleared", "expected at 37m: cleared terminal-temperature t2/T3"),
        (
            "- 6m offer.sent Omar",
            "- 7m offer.sent Omar",
            "expected step at 7m: offer.sent Omar Diallo",
        ),
        (
            "offer.sent Omar Diallo",
            "offer.sent Léa Moreau",
            "expected step at 6m: offer.sent Léa Moreau",
        ),
        ("offer.accepted", "offer.declined", "expected step at 8m: offer.declined"),
        ("is 27.0 °C", "is 28.0 °C", "expected message at 6m: email to Claire Vasseur that says"),
        ("by: email", "by: sms", "expected message at 6m: sms to Claire Vasseur"),
        (
            "at: 6m, to: Claire",
            "at: 5m, to: Claire",
            "expected message at 5m: email to Claire Vasseur",
        ),
        (
            "template: job_offer",
            "template: job_over",
            "expected a message to Omar Diallo (job_over)",
        ),
        (
            "      - {to: Omar Diallo, template: job_offer}\n",
            "",
            "there was at 6m: sms to Omar Diallo",
        ),
        ("      - 8m Omar Diallo: 1\n", "      - 8m Omar Diallo: 2\n", "expected step at 8m"),
        ("2026-05-04T10:00", "2026-05-04T03:00", "expected step at 6m: offer.sent Omar Diallo"),
    ],
)
def test_each_expectation_can_fail(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert any(line.startswith(said) for line in _run(tmp_path, old, new))


def test_steps_have_an_order(tmp_path: Path) -> None:
    turned = "      - 8m offer.accepted\n      - 6m offer.sent Omar Diallo\n"
    straight = "      - 6m offer.sent Omar Diallo\n      - 8m offer.accepted\n"
    assert any(line.startswith("expected step at 6m") for line in _run(tmp_path, straight, turned))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("crm: ", "crm: /nowhere", "3:6: crm: there is no folder"),
        (
            "8m Omar Diallo",
            "8m Omar Dialo",
            "12:24: test 1: answers: 8m Omar Dialo: the CRM has no 'Omar Dialo': did you mean",
        ),
        ("8m Omar Diallo: 1", "Omar: 1", "write TIME NAME: TEXT"),
        ("- 8m offer.accepted", "- soon offer.accepted", "'soon' is no"),
        ("- 8m offer.accepted", "- 8m", "write TIME KIND [WORDS]"),
        (
            "by: sms",
            "by: smoke",
            "there is no 'smoke': write one of chat, email, mqtt, sms, voice, webhook, whatsapp",
        ),
        ("says: [", "sais: [", "'sais' is not known here: did you mean 'says'?"),
        ("2026-05-04T10:00+02:00", "monday", "'monday' is no time"),
    ],
)
def test_a_mistake_in_the_file_has_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(BookError) as caught:
        _run(tmp_path, old, new)
    assert said in str(caught.value)


def test_the_command_takes_several_files_and_writes_junit(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(_TEST, "utf-8")
    bad.write_text(_TEST.replace("6m offer.sent", "7m offer.sent"), "utf-8")
    junit = tmp_path / "junit.xml"
    words = ["rules", "test", str(good), str(bad), "-k", "WARM", "--junit", str(junit)]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 1, told.output
    assert "1 passed, 1 failed" in told.output
    assert f"a warm terminal ({bad}:5:5)" in told.output
    suites = ET.parse(junit).getroot().findall("testsuite")
    assert [(one.get("name"), one.get("tests"), one.get("failures")) for one in suites] == [
        (str(good), "1", "0"),
        (str(bad), "1", "1"),
    ]
    failure = suites[1].find("testcase/failure")
    assert failure is not None
    assert "expected step at 7m" in (failure.text or "")


def test_the_command_says_that_no_test_has_such_a_name(tmp_path: Path) -> None:
    path = tmp_path / "rules.test.yaml"
    path.write_text(_TEST, "utf-8")
    told = CliRunner().invoke(app, ["rules", "test", str(path), "-k", "cold"])
    assert "there is no test whose name holds 'cold'" in str(told.exception)
