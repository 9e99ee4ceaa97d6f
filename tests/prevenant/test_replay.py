"""What a changed rule book would have done with a day of an airport's thermometer and doors."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ingest.journal import Journal
from ingest.mqtt import Frame
from prevenant.book import load_book
from prevenant.cli import app
from prevenant.clock import from_epoch
from prevenant.crm.importing import import_folder
from prevenant.errors import ConfigurationError, JournalError
from prevenant.rehearsal import Answering, Nobody, Obliging, people_of, rehearse
from prevenant.replay import FIRST_CASE, Outcome, alarms_alone, compare, decide_again, follow
from prevenant.store import Store
from workflows.on_call import OnCallOverride, give_override

_BEGIN = 1_777_881_600.0
"""Monday, 2026-05-04, 10 o'clock in Paris."""
_DEMO = Path("prevenant/crm/demo")


def _frames(at: float, minute: int) -> list[Frame]:
    temperature = 27.5 if 10 <= minute < 40 else 22.0
    is_open = 50 <= minute < 53
    return [
        (
            b"airport/t2/thermometers/T3",
            json.dumps({"temperature": temperature, "humidity": 40, "observed_at": at}).encode(),
            0,
        ),
        (b"airport/t2/badges/B14", b'{"door": "D14", "granted": true}', 0),
        (b"airport/t2/doors/D14", json.dumps({"open": is_open, "observed_at": at}).encode(), 0),
        (b"airport/t2/doors/D14", b"no JSON at all", 0),
    ]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return a journal of three hours, a batch a minute."""
    path = tmp_path / "journal.db"
    journal = Journal(path)
    for minute in range(180):
        at = _BEGIN + 60.0 * minute
        journal.append(_frames(at, minute), at)
    journal.close()
    return path


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Return the shipped book with a higher bound of temperature, and doors that may stay open."""
    text = Path("rules.yaml").read_text("utf-8")
    assert "temperature > 26" in text
    assert "    for: 60s\n" in text
    text = text.replace("temperature > 26", "temperature > 28").replace(
        "    for: 60s\n", "    for: 10m\n"
    )
    path = tmp_path / "changed.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def people(store: Store) -> Store:
    """Return a store with the people of the demo."""
    with store.write() as session:
        import_folder(session, _DEMO)
    return store


def _outcome(
    book: Path, journal: Path, people: Store, answering: Answering, since: float = 0.0
) -> Outcome:
    loaded = load_book(book)
    with rehearse(loaded, people_of(people), answering, FIRST_CASE) as rehearsal:
        history = decide_again(loaded.rules, journal, zone_of=rehearsal.zone_of)
        return follow(rehearsal, history, since)


def test_the_same_book_differs_in_nothing(journal: Path, people: Store) -> None:
    outcome = _outcome(Path("rules.yaml"), journal, people, Obliging())
    assert [one.rule for one in outcome.alarms] == ["terminal-temperature", "door-held-open"]
    assert [one.technician for one in outcome.offers] == ["Omar Diallo"]
    again = _outcome(Path("rules.yaml"), journal, people, Obliging())
    assert compare(outcome, again) == []


def test_a_higher_bound_spares_alarms_technicians_and_messages(
    journal: Path, changed: Path, people: Store
) -> None:
    before = _outcome(Path("rules.yaml"), journal, people, Obliging())
    after = _outcome(changed, journal, people, Obliging())
    assert after == Outcome()
    differences = compare(before, after)
    assert {one.change for one in differences} == {"gone"}
    assert Counter(one.what for one in differences) == {
        "alarm": 2,
        "offer": 1,
        "message": len(before.messages),
    }
    back = compare(after, before)
    assert [(one.before, one.after) for one in back] == [("", one.before) for one in differences]


def test_an_alarm_that_comes_earlier_is_changed_and_not_another(
    journal: Path, people: Store, tmp_path: Path
) -> None:
    quicker = tmp_path / "quicker.yaml"
    text = Path("rules.yaml").read_text("utf-8")
    quicker.write_text(text.replace("    for: 5m\n", "    for: 2m\n", 1), "utf-8")
    before = _outcome(Path("rules.yaml"), journal, people, Obliging())
    after = _outcome(quicker, journal, people, Obliging())
    assert len(before.messages) == len(after.messages)
    differences = [one for one in compare(before, after) if one.rule == "terminal-temperature"]
    assert {one.change for one in differences} == {"changed"}
    alarm = next(one for one in differences if one.what == "alarm")
    assert alarm.after.endswith("(3m earlier)")
    offer = next(one for one in differences if one.what == "offer")
    assert (offer.before, offer.after) == (
        "Omar Diallo: accepted",
        "Omar Diallo: accepted (3m earlier)",
    )


def test_where_nobody_answers_the_next_is_asked_and_then_a_person(
    journal: Path, people: Store
) -> None:
    obliging = _outcome(Path("rules.yaml"), journal, people, Obliging())
    silent = _outcome(Path("rules.yaml"), journal, people, Nobody())
    assert {one.state for one in silent.offers} == {"expired"}
    assert len(silent.offers) > len(obliging.offers)
    assert "maintenance-supervisor" in {one.role for one in silent.messages}


def test_who_stands_in_on_call_is_told_in_a_replay_too(
    journal: Path, people: Store, tmp_path: Path
) -> None:
    path = tmp_path / "on_call.yaml"
    path.write_text("""
devices: {door: {topic: 'airport/{site}/doors/{device}', fields: {open: bool}}}
rules: {left-open: {on: door, when: open, for: 60s, workflow: call}}
on_call: {night: {timezone: UTC, layers: [{people: [tom-harper]}]}}
workflows:
  call:
    - tell: on-call:night
      template: all_clear
      channels: sms
""")
    at = from_epoch(_BEGIN)
    with people.write() as session:
        stands_in = OnCallOverride(
            schedule="night",
            contact_id="omar-diallo",
            starts_at=at,
            ends_at=at + timedelta(hours=3),
            given_by="Tom",
            created_at=at,
        )
        give_override(session, stands_in)
    outcome = _outcome(path, journal, people, Nobody())
    assert [one.name for one in outcome.messages] == ["Omar Diallo"]


def test_only_what_came_about_in_the_time_asked_for_is_compared(
    journal: Path, people: Store
) -> None:
    since = _BEGIN + 45 * 60
    outcome = _outcome(Path("rules.yaml"), journal, people, Nobody(), since)
    assert [one.rule for one in outcome.alarms] == ["door-held-open"]
    rules = load_book(Path("rules.yaml")).rules
    history = decide_again(rules, journal, until=_BEGIN + 20 * 60)
    assert [one.rule for one in alarms_alone(history).alarms] == ["terminal-temperature"]
    assert history.ends_at == _BEGIN + 20 * 60


def test_alarms_alone_are_those_of_the_whole(journal: Path, people: Store) -> None:
    whole = _outcome(Path("rules.yaml"), journal, people, Nobody())
    history = decide_again(load_book(Path("rules.yaml")).rules, journal)
    assert alarms_alone(history).alarms == whole.alarms
    assert (history.readings, history.refused) == (540, 180)


def test_a_history_that_cannot_be_had_says_so(tmp_path: Path) -> None:
    rules = load_book(Path("rules.yaml")).rules
    with pytest.raises(JournalError, match="there is no journal"):
        decide_again(rules, tmp_path / "none.db")
    Journal(tmp_path / "empty.db").close()
    with pytest.raises(JournalError, match="holds no readings"):
        decide_again(rules, tmp_path / "empty.db")


def test_damage_is_reported_and_the_rest_is_replayed(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE batch SET checksum = 0 WHERE seq = 90")
    history = decide_again(load_book(Path("rules.yaml")).rules, journal)
    assert [(one.first_seq, one.frames) for one in history.damages] == [(90, 4)]
    assert history.readings == 537


def test_what_stands_in_a_broken_page_is_reported_and_the_rest_is_replayed(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        (frames,) = connection.execute("SELECT frames FROM batch WHERE seq = 90").fetchone()
    at = journal.read_bytes().index(frames) // page * page
    with journal.open("r+b") as file:
        file.seek(at)
        file.write(bytes(8))
    history = decide_again(load_book(Path("rules.yaml")).rules, journal)
    (damage,) = history.damages
    assert damage.first_seq <= 90 <= damage.last_seq
    assert "cannot be read there" in str(damage)
    assert 0 < history.readings < 537


@pytest.fixture
def command(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Return how to run `prevenant rules replay`, with the journal and an empty store."""
    monkeypatch.setenv("PREVENANT_JOURNAL", str(journal))
    monkeypatch.setenv("PREVENANT_DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    return lambda *words: CliRunner().invoke(app, ["rules", "replay", *map(str, words)])


def test_the_command_prints_the_differences(command: Callable[..., Result], changed: Path) -> None:
    told = command(changed, "--against", "rules.yaml", "--crm", _DEMO)
    assert told.exit_code == 0, told.output
    assert "terminal-temperature" in told.output
    assert "alarms: 2, then 0: 2 gone" in told.output
    same = command("rules.yaml", "--against", "rules.yaml", "--crm", _DEMO, "--fail-on-diff")
    assert same.exit_code == 0, same.output
    assert "messages: " in same.output
    failing = command(changed, "--against", "rules.yaml", "--alarms-only", "--fail-on-diff")
    assert failing.exit_code == 1


def test_the_command_prints_json(command: Callable[..., Result], changed: Path) -> None:
    told = command(changed, "--against", "rules.yaml", "--alarms-only", "--json")
    found = json.loads(told.output)
    assert found["counts"]["before"] == {"alarms": 2, "offers": 0, "messages": 0, "refused": 180}
    assert [one["rule"] for one in found["differences"]] == [
        "terminal-temperature",
        "door-held-open",
    ]


def test_the_command_needs_something_to_compare_with(command: Callable[..., Result]) -> None:
    told = command("rules.yaml")
    assert isinstance(told.exception, ConfigurationError)
    assert "--against" in str(told.exception)
