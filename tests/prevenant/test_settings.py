from pathlib import Path

import pytest

from prevenant.clock import ScaledClock, SystemClock
from prevenant.errors import SettingsError
from prevenant.settings import Settings, describe_settings, load_settings


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_environment_comes_before_the_file_and_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("prevenant.toml").write_text(
        'http = "127.0.0.1:1"\nbook = "toml.yaml"\njournal = "toml.db"\n'
    )
    Path(".env").write_text("PREVENANT_HTTP=127.0.0.1:2\nPREVENANT_BOOK=env.yaml\nOTHER=1\n")
    monkeypatch.setenv("PREVENANT_HTTP", "127.0.0.1:3")
    settings = load_settings()
    assert settings.http == "127.0.0.1:3"
    assert settings.book == Path("env.yaml")
    assert settings.journal == Path("toml.db")
    sources = {name: source for name, _, source, _ in describe_settings(settings)}
    assert sources["PREVENANT_HTTP"] == "environment"
    assert sources["PREVENANT_BOOK"] == ".env"
    assert sources["PREVENANT_JOURNAL"] == "prevenant.toml"
    assert sources["PREVENANT_MQTT_URL"] == "default"


def test_secrets_stay_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVENANT_TWILIO_ACCOUNT_SID", "AC1")
    monkeypatch.setenv("PREVENANT_TWILIO_AUTH_TOKEN", "s3cret")
    monkeypatch.setenv("PREVENANT_TWILIO_FROM", "+33")
    monkeypatch.setenv("PREVENANT_EMAIL_FROM", "us@example.org")
    monkeypatch.setenv("PREVENANT_SMTP_URL", "smtp://me:s3cret@mail.example:25")
    monkeypatch.setenv("PREVENANT_MQTT_URL", "mqtts://me:s3cret@broker.example")
    monkeypatch.setenv("PREVENANT_DATABASE_URL", "postgresql+psycopg://me:s3cret@db/prevenant")
    rows = list(describe_settings(load_settings()))
    assert "s3cret" not in str(rows)
    assert "mqtts://me:********@broker.example" in str(rows)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("MQTT_URL", "127.0.0.1:1883", "write an address such as mqtt://127.0.0.1:1883"),
        ("MQTT_URL", "mqtt://host:99999", "write an address"),
        ("MQTT_URL", "mqtt://host?keepalive=70000", "write seconds from 1 to 9999, as in 30"),
        (
            "MQTT_URL",
            "mqtt://host?qos=3",
            "?qos=3 cannot be used in a broker's address: write 0, 1 or 2",
        ),
        ("MQTT_URL", "mqtt://host?session_expiry=40000d", "from 1s to 36500d"),
        ("MQTT_URL", "mqtt://[bad", "write an address"),
        ("MQTT_URL", "mqtt://me:s3#cret@host", "write # in a broker's address as %23"),
        ("MQTT_URL", "mqtt://host?will=a/#", "write # in a broker's address as %23"),
        ("MQTT_URL", "mqtt://host?ca=ca.pem", "?ca= in a broker's address is for TLS: begin it"),
        ("DATABASE_URL", "mysql://x", "write sqlite:///"),
        ("DATABASE_URL", "postgresql+psycopg://me:s3cret@db:port/name", "write sqlite:///"),
        ("DATABASE_URL", "sqlite://", "write sqlite:///"),
        ("JOURNAL", ".", ". is a folder: name a file"),
        ("HTTP", "8080", "write HOST:PORT"),
        ("PUBLIC_URL", "prevenant.example.org", "write an address such as https://"),
        ("SMTP_URL", "mail.example.org", "write an address such as smtp+starttls://"),
        ("SMTP_URL", "smtp://[bad", "write an address such as smtp+starttls://"),
        ("CLOCK", "fast", "write ORIGIN/REAL_ORIGIN/SPEED"),
        ("TWILIO_SENDERS", "France=+33939980000", "write its two letters"),
        ("QUIET_HOURS", "22-7", "22:00-07:00"),
        ("CONSENT_REQUIRED", "smss:DE", "is no channel: write sms, voice"),
        ("CONSENT_REQUIRED", "email:DE", "for numbers of these countries"),
        ("MESSAGE_LIMITS", "minor often", "minor"),
        ("MESSAGE_LIMITS", "minor 2", "as in info 3/1d"),
        ("API_RATE", "6000", "write how many in how long, as in 6000/1m"),
        ("OPERATORS", "two", "write a whole number from 1 to 1000"),
        ("OPERATORS", "0", "write a whole number from 1 to 1000"),
        ("SMS_FIRST", "both", "write 'twilio' or 'gateway'"),
        ("TWILIO_WHATSAPP_TEMPLATE", "visit", "write the template's SID"),
    ],
)
def test_a_wrong_value_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(f"PREVENANT_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"PREVENANT_{name}: ")
    assert remedy in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_everything_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVENANT_TWILLIO_FROM", "+33")
    monkeypatch.setenv("PREVENANT_HTTP", "x")
    Path("prevenant.toml").write_text('jurnal = "x"\n')
    with pytest.raises(SettingsError) as refused:
        load_settings()
    text = str(refused.value)
    assert "did you mean PREVENANT_TWILIO_FROM?" in text
    assert "prevenant.toml: jurnal is not a setting: did you mean journal?" in text
    assert "PREVENANT_HTTP: write HOST:PORT" in text


def test_a_misspelt_name_in_a_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PREVENANT_TWILLIO_FROM=+33\nexport PREVENANT_NOPE=1\nOTHER=2\n")
    Path("prevenant.toml").write_text('PREVENANT_HTTP = "127.0.0.1:1"\n')
    monkeypatch.setenv("prevenant_htpt", "127.0.0.1:1")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    *others, toml = str(refused.value).splitlines()
    assert others == [
        "prevenant_htpt is not a setting: did you mean PREVENANT_HTTP?",
        ".env: PREVENANT_TWILLIO_FROM is not a setting: did you mean PREVENANT_TWILIO_FROM?",
        ".env: PREVENANT_NOPE is not a setting: `prevenant settings` lists them all",
    ]
    assert toml.startswith("prevenant.toml: PREVENANT_HTTP is not a setting here: write it without")


def test_a_provider_that_is_set_in_part_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREVENANT_TWILIO_FROM", "+33")
    monkeypatch.setenv("PREVENANT_SMTP_URL", "smtp://localhost")
    monkeypatch.setenv("PREVENANT_EMAIL_FROM", "nobody")
    monkeypatch.setenv("PREVENANT_TWILIO_WHATSAPP_FROM", "+33")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    twilio, whatsapp, smtp = str(refused.value).splitlines()
    assert "TWILIO_WHATSAPP_FROM needs a Twilio account" in whatsapp
    assert twilio.endswith("_FROM: set _ACCOUNT_SID and _AUTH_TOKEN too, or none")
    assert "name the sender with PREVENANT_EMAIL_FROM" in smtp


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (".env", b"PREVENANT_HTTP=\xff", ".env is not in UTF-8"),
        (".env", b"A=1\njust words\n", ".env:2: this line cannot be read: write NAME=value"),
        ("prevenant.toml", b"http = '\xff'", "prevenant.toml is not in UTF-8"),
        ("prevenant.toml", b"http = 5", 'write http = "…"'),
        ("prevenant.toml", b"book = ['a']", 'write book = "…"'),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    file: str, content: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(file).write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert caplog.text == ""


@pytest.mark.parametrize("file", [".env", "prevenant.toml"])
def test_a_file_that_cannot_be_opened_is_named(file: str) -> None:
    Path(file).symlink_to(file)
    with pytest.raises(SettingsError, match=f"^{file} cannot be read: .*; mend that, or remove it"):
        load_settings()


def test_a_folder_of_that_name_is_no_file_of_settings() -> None:
    Path(".env").mkdir()
    assert load_settings().http == "127.0.0.1:8080"


def test_a_broken_file_is_named() -> None:
    Path("prevenant.toml").write_text("http = \n")
    with pytest.raises(SettingsError, match=r"prevenant\.toml: .*it has to be TOML"):
        load_settings()


def test_the_clock_is_the_machines_unless_one_is_given() -> None:
    assert isinstance(Settings().make_clock(), SystemClock)
    fast = Settings(clock="2026-05-04T08:00:00+00:00/2026-05-04T08:00:00+00:00/60").make_clock()
    assert isinstance(fast, ScaledClock)
    assert fast.speed == 60
