"""The command line: every error that a user can cause is one line that says what to do."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from prevenant import __version__
from simulators.broker import free_port
from tests.nursery import ROOT, nursery
from tests.servers import Broker, running_broker, wait_until


def prevenant(
    *arguments: str, folder: Path = ROOT, status: int = 0, settings: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Run a command and return what it printed; make sure of its status and of no traceback."""
    environment = {**os.environ, "COLUMNS": "200", **(settings or {})}
    found, said, complained = nursery().run(*arguments, folder=folder, environment=environment)
    assert "Traceback" not in complained, complained
    assert found == status, said + complained
    return said, complained


@pytest.mark.parametrize("typed", ["--version", "version"])
def test_it_says_its_version(tmp_path: Path, typed: str) -> None:
    command = [sys.executable, "-m", "prevenant", typed]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"prevenant {__version__}\n", "")


def test_the_shipped_book_is_good_and_passes_its_tests() -> None:
    assert "7 rules on 6 device types, 5 workflows: good" in prevenant("rules", "check")[0]
    assert "16 passed, 0 failed" in prevenant("rules", "test")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense': see `prevenant --help`"),
        (["rules", "chek"], "Did you mean 'check'?: see `prevenant rules --help`"),
        (["run", "--nonsense"], "No such option: --nonsense: see `prevenant run --help`"),
        (["crm", "import"], "Missing argument 'path': see `prevenant crm import --help`"),
        (["demo", "--speed", "0"], "0 is no speed: write a number above 0"),
        (["alarms", "list", "--state", "over"], "'over' is not known: write one of active"),
        (["alarms", "list", "--limit", "0"], "greater than or equal to 1"),
        (["quarantine", "list", "--state", "waitin"], "did you mean 'waiting'?"),
        (["replies", "list", "--outcome", "lost"], "'lost' is not known: write one of"),
        (["deliveries", "list", "--channel", "mail"], "did you mean 'email'?"),
        (["cases", "show", "99999999999999999999"], "less than or equal to 2147483647"),
        (["dispatch", "explain", "1", "--round", "9" * 20], "less than or equal to 2147483647"),
        (["alarms", "list", "--limit", "9" * 20], "2147483647"),
        (["cases", "ack", "1", "--by", "n" * 101], "101 characters are too long for a name"),
        (["trail", "--outcome", "nothing"], "'nothing' is not known: write one of begun"),
        (["rules", "explain", "9" * 30], "less than or equal to 2147483647"),
        (["rules", "show", "9" * 30], "less than or equal to 2147483647"),
        (["quarantine", "show", "9" * 30], "less than or equal to 2147483647"),
        (["quarantine", "replay", "1", "9" * 30], "less than or equal to 2147483647"),
        (["quarantine", "list", "--limit", "9" * 30], "less than or equal to 2147483647"),
        (["cases", "show", "--", "-" + "9" * 20], "greater than or equal to 1"),
        (["cases", "list", "--storm", "0"], "greater than or equal to 1"),
        (["cases", "replay", "9" * 20], "less than or equal to 2147483647"),
        (["dispatch", "explain", "--", "-" + "9" * 20], "greater than or equal to 1"),
        (["deliveries", "resend", "--", "-" + "9" * 20], "greater than or equal to 1"),
        (["deliveries", "list", "--case", "-" + "9" * 20], "greater than or equal to 1"),
        (["on-call", "end", "--", "-" + "9" * 20], "greater than or equal to 1"),
        (["alarms", "unshelve", "--", "-" + "9" * 20], "greater than or equal to 1"),
        (["quarantine", "show", "--", "-" + "9" * 20], "greater than or equal to 1"),
        (["crm", "show", "technicians", "a\udcff"], "word 4 of the command is not UTF-8"),
        (["demo", "--speed", "nan"], "nan is no speed: write a number above 0"),
        (
            ["simulate", "replay", "a.csv", "--type", "door", "--limit", "-1"],
            "greater than or equal to 0",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_mistyped_is_told_in_one_line(arguments: list[str], words: str) -> None:
    _, errors = prevenant(*arguments, status=2)
    assert errors.startswith("error: ")
    assert words in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alarms", "shelve", "--rule", "x", "--for", "9999999d"], "is no length of time"),
        (["alarms", "shelve", "--rule", "x", "--for", "9" * 400 + "h"], "is no length of time"),
        (["cases", "list", "--since", "99999999h"], "'99999999h' is no time: write one such as"),
        (["cases", "list", "--since", "0001-01-01T00:00+10:00"], "is no time: write one such as"),
        (["on-call", "show", "--from", "9999-12-31"], "'9999-12-31' is no time: write one such as"),
        (["crm", "leave", "x", "--until", "9999-12-31T23:59-12:00"], "is no time: write one such"),
        (["crm", "import", ".", "--encoding", "nonsense"], "'nonsense' is no encoding: write one"),
        (["crm", "import", ".", "--encoding", "hex"], "'hex' is no encoding: write one such as"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_is_beyond_all_is_told_in_one_line(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    (tmp_path / "customers.csv").write_text("id,name\nx,X\n")
    _, errors = prevenant(*arguments, folder=tmp_path, status=1)
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_a_command_without_arguments_shows_its_help() -> None:
    out, errors = prevenant("rules", status=2)
    assert "Check, test and publish rule books." in out
    assert errors == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file: name another, or set PREVENANT_BOOK"),
        ("", "cannot be read: Is a directory; name a file that can be"),
        (b"\xff", "this is not UTF-8: save it as a text in UTF-8"),
    ],
    ids=["missing", "folder", "bytes"],
)
def test_a_book_that_cannot_be_read_is_told(
    tmp_path: Path, content: bytes | str | None, words: str
) -> None:
    book = tmp_path / "book.yaml"
    if isinstance(content, bytes):
        book.write_bytes(content)
    elif content is not None:
        book.mkdir()
    _, errors = prevenant("rules", "check", "book.yaml", folder=tmp_path, status=1)
    assert errors.startswith(f"book.yaml:1:1: {words}")
    assert len(errors.splitlines()) == 1


def test_a_wrong_book_is_told_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("rules:\n  a: {on: door, wen: open}\n")
    _, errors = prevenant("rules", "check", "bad.yaml", folder=tmp_path, status=1)
    lines = errors.splitlines()
    assert lines[0].startswith("bad.yaml:2:6: rule 'a': 'when' is missing")
    assert any("'wen' is not known here: did you mean 'when'?" in line for line in lines)


def test_rule_tests_show_what_differs(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(f"""
book: {ROOT / "rules.yaml"}
tests:
  - name: hopeful
    every: 10s
    series: {{door t2/D1: {{open: "true x3"}}}}
    expect: [5s raised door-held-open t2/D1]
""")
    out, _ = prevenant("rules", "test", "t.yaml", folder=tmp_path, status=1)
    assert "failed hopeful" in out
    assert "expected at 5s: raised door-held-open t2/D1" in out
    assert "happened at 5s: raised door-without-badge t2/D1" in out


def test_tests_that_are_not_there_are_to_be_written(tmp_path: Path) -> None:
    _, errors = prevenant("rules", "test", folder=tmp_path, status=1)
    assert errors == (
        "rules.test.yaml:1:1: there is no such file: write tests there, as docs/rule-book.md has them, "
        "or name another file\n"
    )


def test_a_broken_test_file_is_told_with_its_places(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(f"""book: {ROOT / "rules.yaml"}
tests:
  - {{name: a, series: {{dor t2/D1: {{open: "true"}}}}, expect: []}}
  - {{name: b, series: {{door t2/D1: {{open: "yes"}}}}, expect: [soon raised x y]}}
""")
    _, errors = prevenant("rules", "test", "t.yaml", folder=tmp_path, status=1)
    assert "t.yaml:3:35: " in errors
    assert "did you mean 'door'?" in errors
    assert "'yes' is no value of open" in errors
    assert "there is no rule 'x'" in errors


def test_a_series_that_no_device_can_send_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("""
devices:
  boiler:
    topic: 'a/{site}/{device}'
    fields: {heat: celsius, mode: {kind: string, enum: {h: heating}}}
rules:
  hot: {on: boiler, when: heat > 80}
""")
    series = [
        'heat: "nan"',
        'heat: "1..1e999 x3"',
        'mode: "heeting"',
        'heat: "90 x9999999999999"',
        'heat: "90 x%s"' % ("9" * 5_000),
    ]
    tests = [f"  - {{name: a, series: {{boiler t/1: {{{one}}}}}, expect: []}}" for one in series]
    (tmp_path / "t.yaml").write_text("book: rules.yaml\ntests:\n" + "\n".join(tests))
    _, errors = prevenant("rules", "test", "t.yaml", folder=tmp_path, status=1)
    for number, words in enumerate(
        [
            "'nan' is no value of heat",
            "'1..1e999' is no value of heat",
            "'heeting' is no value of mode",
            "'x9999999999999': a value comes 100000 times at most",
            "'x9999999999999999999': a value comes 100000 times at most",
        ]
    ):
        assert f"t.yaml:{number + 3}:" in errors
        assert words in errors


def test_settings_are_shown_with_their_source() -> None:
    out, _ = prevenant("settings", settings={"PREVENANT_HTTP": "127.0.0.1:9"})
    assert any("PREVENANT_HTTP" in x and "environment" in x for x in out.splitlines())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PREVENANT_BOOK": "none.yaml"}, "no such file: name another, or set PREVENANT_BOOK"),
        ({"PREVENANT_HTTP": "nowhere"}, "error: PREVENANT_HTTP: write HOST:PORT"),
        ({"PREVENANT_HTTP": "nowhere.invalid:80"}, "cannot listen on nowhere.invalid:80"),
        ({"PREVENANT_TWILIO_FROM": "+33"}, "error: Twilio needs all of"),
        ({"PREVENANT_SMTP_URL": "smtp://localhost"}, "PREVENANT_EMAIL_FROM"),
        ({"PREVENANT_JOURNAL": "/proc/journal.db"}, "PREVENANT_JOURNAL"),
        ({"PREVENANT_DATABASE_URL": "sqlite:////proc/x/y.db"}, "PREVENANT_DATABASE_URL"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_run_says_what_is_wrong_before_it_starts(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    usual = {
        "PREVENANT_BOOK": str(ROOT / "rules.yaml"),
        "PREVENANT_HTTP": "127.0.0.1:0",
    }
    _, errors = prevenant("run", folder=tmp_path, status=1, settings={**usual, **settings})
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        _, errors = prevenant(
            "run",
            folder=tmp_path,
            status=1,
            settings={"PREVENANT_BOOK": str(ROOT / "rules.yaml"), "PREVENANT_HTTP": address},
        )
    assert f"cannot listen on {address}" in errors
    assert "set PREVENANT_HTTP" in errors


def test_run_waits_for_its_broker_and_ends_well_on_ctrl_c(tmp_path: Path) -> None:
    usual = {
        "PREVENANT_BOOK": str(ROOT / "rules.yaml"),
        "PREVENANT_HTTP": "127.0.0.1:0",
        "PREVENANT_MQTT_URL": f"mqtt://127.0.0.1:{free_port()}",
    }
    with running_engine(tmp_path, usual) as log:
        wait_until(lambda: "broker does not answer" in log.read_text(), "complaint")
        text = log.read_text()
        assert "PREVENANT_MQTT_URL" in text
        assert "No credentials for sms, voice, email" in text
        assert text.count("token, shown only now") == 1


def test_ctrl_c_while_the_command_loads_ends_it_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "structlog.py").write_text(
        "import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(60)\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-m", "prevenant", "version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until((tmp_path / "loading").exists, "loading")
        command.send_signal(signal.SIGINT)
        said, _ = command.communicate(timeout=60)
    finally:
        command.kill()
    assert (command.returncode, said) == (-signal.SIGINT, b"")


@contextmanager
def running_engine(folder: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """Run `prevenant run`, and yield what it says; it has to end well on Ctrl-C."""
    log = folder / "log"
    with log.open("w") as out:
        engine = subprocess.Popen(
            [sys.executable, "-m", "prevenant", "run"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
            stdout=out,
            stderr=out,
        )
    try:
        yield log
        engine.send_signal(signal.SIGINT)
        assert engine.wait(90) == 0
        assert "Traceback" not in log.read_text()
    finally:
        engine.kill()
        engine.wait()


def test_the_token_is_shown_although_the_first_start_failed(tmp_path: Path) -> None:
    usual = {
        "PREVENANT_BOOK": str(ROOT / "rules.yaml"),
        "PREVENANT_HTTP": "[::1]:0",
        "PREVENANT_MQTT_URL": f"mqtts://127.0.0.1:{free_port()}?ca=none.pem",
    }
    _, errors = prevenant("run", folder=tmp_path, status=1, settings=usual)
    assert "check ?ca=" in errors
    with running_engine(tmp_path, {**usual, "PREVENANT_MQTT_URL": "mqtt://127.0.0.1:1"}) as log:
        sign_in = re.compile(r"token, shown only now.*Sign in: (\S+)/\?token=(\S+)\n", re.DOTALL)
        wait_until(lambda: sign_in.search(log.read_text()), "token")
        found = sign_in.search(log.read_text())
        assert found is not None
        assert found[1].startswith("http://[::1]:")
        header = {"Authorization": f"Bearer {found[2]}"}
        wait_until(lambda: answers(f"{found[1]}/healthz"), "console")
        assert requests.get(f"{found[1]}/api/v1/cases", headers=header, timeout=60).json() == []


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def test_of_two_engines_on_one_journal_the_second_says_so(tmp_path: Path) -> None:
    usual = {
        "PREVENANT_BOOK": str(ROOT / "rules.yaml"),
        "PREVENANT_HTTP": "127.0.0.1:0",
        "PREVENANT_MQTT_URL": "mqtt://127.0.0.1:1",
    }
    with running_engine(tmp_path, usual) as log:
        wait_until(lambda: "Console: " in log.read_text(), "engine")
        _, errors = prevenant("run", folder=tmp_path, status=1, settings=usual)
    assert "another engine uses the journal var/journal.db; stop it, or set PREVENANT" in errors
    assert len(errors.splitlines()) == 1


def test_who_has_no_public_address_hears_that_no_receipt_comes_in(tmp_path: Path) -> None:
    usual = {
        "PREVENANT_BOOK": str(ROOT / "rules.yaml"),
        "PREVENANT_HTTP": "127.0.0.1:0",
        "PREVENANT_MQTT_URL": "mqtt://127.0.0.1:1",
        "PREVENANT_TWILIO_ACCOUNT_SID": "AC1",
        "PREVENANT_TWILIO_AUTH_TOKEN": "s3cret",
        "PREVENANT_TWILIO_FROM": "+33939980000",
    }
    with running_engine(tmp_path, usual) as log:
        words = "No PREVENANT_PUBLIC_URL: no receipt and no reply comes in"
        wait_until(lambda: words in log.read_text(), "the warning")
    assert "s3cret" not in log.read_text()
    assert "+339" not in log.read_text()


def test_crm_import_tries_first_and_then_writes(tmp_path: Path) -> None:
    demo = str(ROOT / "prevenant" / "crm" / "demo")
    assert "would import" in prevenant("crm", "import", demo, "--dry-run", folder=tmp_path)[0]
    assert "imported 2 areas, 14 customers" in prevenant("crm", "import", demo, folder=tmp_path)[0]
    _, errors = prevenant("crm", "import", str(tmp_path / "none"), folder=tmp_path, status=1)
    assert "there is no such file or folder" in errors


REPLAY = ["simulate", "replay", "office.csv", "--type", "thermometer", "--device", "t2/T1"]


@pytest.fixture
def office(tmp_path: Path, broker: Broker) -> Mapping[str, str]:
    """Write a record of an office; return the settings with which it is replayed."""
    (tmp_path / "office.csv").write_text(
        "timestamp,value\n2013-07-04 00:00:00,69.88\n2013-07-04 01:00:00,\nbad,71.2\n"
    )
    return {"PREVENANT_BOOK": str(ROOT / "rules.yaml"), "PREVENANT_MQTT_URL": broker.url}


def test_real_data_can_be_replayed(tmp_path: Path, office: Mapping[str, str]) -> None:
    more = ["--field", "temperature=value:fahrenheit", "--speed", "100000"]
    out, _ = prevenant(*REPLAY, *more, folder=tmp_path, settings=office)
    assert out == "published 3 readings of t2/T1\n"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--field", "temprature=value"], "did you mean 'temperature'?"),
        (["--field", "temperature=valu"], "did you mean 'value'?"),
        (["--field", "temperature=value:farenheit"], "did you mean 'fahrenheit'?"),
        (["--field", "temperature"], "write temperature=COLUMN"),
        (["--field", "temperature=timestamp"], "00:00:00' in row 1 of column 'timestamp'"),
        (["--field", "temperature=value", "--time-column", "timestmp"], "mean 'timestamp'?"),
        (["--field", "temperature=value", "--device", "t2/#"], "is no name of a device"),
        (["--field", "temperature=value", "--device", "T1"], "write --device SITE/T1"),
        ([], "use --field FIELD=COLUMN"),
    ],
    ids=lambda value: " ".join(value[1:]) or "none" if isinstance(value, list) else "",
)
def test_what_of_real_data_is_mistyped_is_told_in_one_line(
    tmp_path: Path, office: Mapping[str, str], wrong: list[str], words: str
) -> None:
    errors = prevenant(*REPLAY, *wrong, folder=tmp_path, status=1, settings=office)[1]
    assert words in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no file record.csv: name one that exists"),
        ("", "record.csv cannot be read: Is a directory; name a CSV file"),
        (b"", "record.csv cannot be read as CSV"),
        (b"\xff\xfe", "record.csv cannot be read as CSV in UTF-8"),
        (b"timestamp,value\n", "record.csv has no row below its headings"),
        (b'timestamp,value\n1,"2\n', "record.csv cannot be read as CSV"),
    ],
    ids=["missing", "folder", "empty", "bytes", "headings", "quote"],
)
def test_a_record_that_cannot_be_replayed_is_told(
    tmp_path: Path, content: bytes | str | None, words: str
) -> None:
    record = tmp_path / "record.csv"
    if isinstance(content, bytes):
        record.write_bytes(content)
    elif content is not None:
        record.mkdir()
    settings = {"PREVENANT_BOOK": str(ROOT / "rules.yaml")}
    command = ["simulate", "replay", "record.csv", "--type", "thermometer", "--field"]
    _, errors = prevenant(
        *command, "temperature=value", folder=tmp_path, status=1, settings=settings
    )
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_simulated_devices_say_that_the_broker_does_not_take_them(tmp_path: Path) -> None:
    away = {"PREVENANT_MQTT_URL": f"mqtt://127.0.0.1:{free_port()}"}
    errors = prevenant("simulate", "devices", status=1, settings=away)[1]
    assert re.fullmatch(
        r"error: the broker .* does not take us: .*refused; start it, or mend .*\n", errors
    )
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    guarded = ["allow_anonymous false", f"password_file {passwords}"]
    with running_broker(tmp_path / "broker", guarded) as broker:
        strange = {"PREVENANT_MQTT_URL": f"mqtt://me:s3cret@127.0.0.1:{broker.port}"}
        errors = prevenant("simulate", "devices", status=1, settings=strange)[1]
    assert "does not take us: Not authorized; " in errors
    assert "s3cret" not in errors
