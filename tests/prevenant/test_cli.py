"""The command line: every error that a user can cause is one line that says what to do."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from prevenant import __version__
from simulators.broker import free_port
from tests.servers import Broker, wait_until

ROOT = Path(__file__).parents[2]


def prevenant(
    *arguments: str, folder: Path = ROOT, status: int = 0, settings: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Run a command and return what it printed; make sure of its status and of no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "prevenant", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **(settings or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_it_says_its_version() -> None:
    assert prevenant("--version")[0] == f"prevenant {__version__}\n"
    assert prevenant("version")[0] == f"prevenant {__version__}\n"


def test_the_shipped_book_is_good_and_passes_its_tests() -> None:
    assert "6 rules on 5 device types, 4 workflows: good" in prevenant("rules", "check")[0]
    assert "15 passed, 0 failed" in prevenant("rules", "test")[0]


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


def test_settings_are_shown_with_their_source() -> None:
    out, _ = prevenant("settings", settings={"PREVENANT_HTTP": "127.0.0.1:9"})
    assert any("PREVENANT_HTTP" in x and "environment" in x for x in out.splitlines())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PREVENANT_BOOK": "none.yaml"}, "there is no such file: name one"),
        ({"PREVENANT_HTTP": "nowhere"}, "error: PREVENANT_HTTP: write HOST:PORT"),
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
    log = tmp_path / "log"
    with log.open("w") as out:
        engine = subprocess.Popen(
            [sys.executable, "-m", "prevenant", "run"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PREVENANT_BOOK": str(ROOT / "rules.yaml"),
                "PREVENANT_HTTP": "127.0.0.1:0",
                "PREVENANT_MQTT_URL": f"mqtt://127.0.0.1:{free_port()}",
            },
            stdout=out,
            stderr=out,
        )
    try:
        wait_until(lambda: "broker does not answer" in log.read_text(), "complaint", 30)
        text = log.read_text()
        assert "PREVENANT_MQTT_URL" in text
        assert "No credentials for sms, voice, email" in text
        assert text.count("token, shown only now") == 1
        began = time.monotonic()
        engine.send_signal(signal.SIGINT)
        assert engine.wait(10) == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in log.read_text()
    finally:
        engine.kill()
        engine.wait()


def test_crm_import_tries_first_and_then_writes(tmp_path: Path) -> None:
    demo = str(ROOT / "prevenant" / "crm" / "demo")
    assert "would import" in prevenant("crm", "import", demo, "--dry-run", folder=tmp_path)[0]
    assert "imported 13 customers" in prevenant("crm", "import", demo, folder=tmp_path)[0]
    _, errors = prevenant("crm", "import", str(tmp_path / "none"), folder=tmp_path, status=1)
    assert "holds none of customers.csv" in errors


def test_real_data_can_be_replayed(tmp_path: Path, broker: Broker) -> None:
    record = tmp_path / "office.csv"
    record.write_text(
        "timestamp,value\n2013-07-04 00:00:00,69.88\n2013-07-04 01:00:00,\nbad,71.2\n"
    )
    usual = {
        "PREVENANT_BOOK": str(ROOT / "rules.yaml"),
        "PREVENANT_MQTT_URL": broker.url,
    }
    replay = ["simulate", "replay", str(record), "--type", "thermometer", "--device", "t2/T1"]
    out, _ = prevenant(
        *replay, "--field", "temperature=value:fahrenheit", "--speed", "100000", settings=usual
    )
    assert out == "published 3 readings of t2/T1\n"
    for wrong, words in (
        (["--field", "temprature=value"], "did you mean 'temperature'?"),
        (["--field", "temperature=valu"], "did you mean 'value'?"),
        (["--field", "temperature=value:farenheit"], "did you mean 'fahrenheit'?"),
        ([], "use --field FIELD=COLUMN"),
    ):
        assert words in prevenant(*replay, *wrong, status=1, settings=usual)[1]
