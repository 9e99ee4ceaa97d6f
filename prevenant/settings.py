"""Settings from the environment, `.env` and `prevenant.toml`, in this order of precedence."""

import difflib
import io
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from dotenv.parser import parse_stream
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from prevenant.clock import Clock, ScaledClock, SystemClock
from prevenant.daily import parse_daily
from prevenant.document import suggest
from prevenant.domain import Severity
from prevenant.durations import parse_duration
from prevenant.errors import SettingsError
from prevenant.limits import Limits, parse_limits
from prevenant.senders import Senders

PREFIX = "PREVENANT_"
ENV_FILE, TOML_FILE = ".env", "prevenant.toml"

_MQTT_SCHEMES = ("mqtt", "mqtts", "ws", "wss")
_MQTT_OPTIONS = {
    "client_id": r"[^/+#\s]{1,200}",
    "protocol": r"5|5\.0|3|3\.1\.1",
    "qos": r"[012]",
    "share": r"[^/+#\s]+",
    "keepalive": r"[1-9][0-9]{0,3}",
    "session_expiry": r".+",
    "will": r"[^+#]+",
    "ca": r".+",
    "cert": r".+",
    "key": r".+",
}
"""What a broker's address may say behind its question mark, and in which form."""
_LONGEST_SESSION_S = 36_500 * 86_400
_PASSWORD = re.compile(r"(://[^\s,:/@]*:)[^\s,/]*@")
_SPACES = re.compile(r"[\s,]+")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT])B?")
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_CONSENT = re.compile(r"[a-z]+(:[A-Z]{2}(\+[A-Z]{2})*)?")
_BY_NUMBER = frozenset({"sms", "voice", "whatsapp"})
_CHANNELS = _BY_NUMBER | {"email", "chat"}
_SMTP_SCHEMES = ("smtp", "smtps", "smtp+starttls")


def _mqtt_urls(text: str) -> str:
    urls = _SPACES.split(text.strip())
    for url in urls:
        _url(url, _MQTT_SCHEMES, "mqtt://127.0.0.1:1883")
        _check_mqtt_options(url)
    return ",".join(urls)


def _check_mqtt_options(url: str) -> None:
    for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items():
        value = values[-1]
        if name not in _MQTT_OPTIONS:
            message = f"?{name}= is not known in a broker's address: {suggest(name, _MQTT_OPTIONS)}"
            raise ValueError(message)
        if not re.fullmatch(_MQTT_OPTIONS[name], value):
            message = f"?{name}={value} cannot be used in a broker's address"
            raise ValueError(message)
        if name == "session_expiry" and not 1 <= parse_duration(value) <= _LONGEST_SESSION_S:
            message = "?session_expiry= in a broker's address is from 1s to 36500d"
            raise ValueError(message)


def _database_url(text: str) -> str:
    try:
        url = make_url(text)
        is_file = url.drivername == "sqlite" and url.database not in {None, "", ":memory:"}
        is_good = is_file or url.drivername == "postgresql+psycopg"
    except (ArgumentError, ValueError):
        is_good = False
    if not is_good:
        message = "write sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/name"
        raise ValueError(message)
    return text


def _file(path: Path) -> Path:
    if not path.name or path.is_dir():
        message = f"{path} is a folder: name a file, as in var/journal.db"
        raise ValueError(message)
    return path


def _folder(path: Path) -> Path:
    if path.is_file():
        message = f"{path} is a file: name a folder, as in var/models"
        raise ValueError(message)
    return path


def _http_address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004  the largest port
        message = "write HOST:PORT, as in 127.0.0.1:8080"
        raise ValueError(message)
    return text


def _web_url(text: str) -> str:
    return (
        _url(text, ("http", "https"), "https://prevenant.example.org").rstrip("/") if text else ""
    )


def _secret_web_url(text: SecretStr) -> SecretStr:
    if text.get_secret_value():
        _url(text.get_secret_value(), ("http", "https"), "https://watch.example.org/ping/KEY")
    return text


def _phone(text: str) -> str:
    if text and not _PHONE.fullmatch(text):
        message = "write a number in the form +33139980000"
        raise ValueError(message)
    return text


def _smtp_url(text: SecretStr) -> SecretStr:
    if text.get_secret_value():
        _url(text.get_secret_value(), _SMTP_SCHEMES, "smtp+starttls://user:password@host:587")
    return text


def _senders(text: str) -> str:
    Senders.parse("", text)
    return text


def _content_sid(text: str) -> str:
    if text and not re.fullmatch(r"HX[0-9a-f]{32}", text):
        message = "write the template's SID as Twilio's console shows it: HX and 32 digits"
        raise ValueError(message)
    return text


def _position_topic(text: str) -> str:
    levels = text.split("/")
    if text and (levels.count("{technician}") != 1 or "#" in text):
        message = "write a topic with the level {technician}, as in phones/{technician}/position"
        raise ValueError(message)
    return text


def _duration(text: str) -> str:
    if text:
        parse_duration(text)
    return text


def _daily(text: str) -> str:
    if text:
        parse_daily(text)
    return text


def _required_consent(text: str) -> str:
    for one in filter(None, (part.strip() for part in text.split(","))):
        channel, _, countries = one.partition(":")
        known = _BY_NUMBER if countries else _CHANNELS
        if not _CONSENT.fullmatch(one) or channel not in known:
            message = (
                f"{one!r} is no channel: write sms, voice, whatsapp, email or chat, or sms:DE+AT "
                "for numbers of these countries"
            )
            raise ValueError(message)
    return text


def _limits(text: str) -> str:
    parse_limits(text)
    return text


def _size(text: str) -> str:
    if text:
        parse_size(text)
    return text


def parse_size(text: str) -> int:
    """Return the number of bytes that a text such as `10GB` names. Raises ValueError with the form."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        message = f"{text!r} is no size: write one such as 500MB or 10GB"
        raise ValueError(message)
    factor = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}[match[2].lower()]
    return round(float(match[1]) * factor)


def _clock(text: str) -> str:
    if text:
        ScaledClock.parse(text)
    return text


def _url(text: str, schemes: tuple[str, ...], example: str) -> str:
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        message = f"write an address such as {example} ({', '.join(s + '://' for s in schemes)})"
        raise ValueError(message)
    return text


def shipped_book() -> Path:
    """Return `rules.yaml` of this folder, else the rule book that Prevenant ships with."""
    here, package = Path("rules.yaml"), Path(__file__).parent
    shipped = [folder / here for folder in (package / "_app", package.parent)]
    return next((path for path in (here, *shipped) if path.exists()), here)


class Settings(BaseSettings):
    """What an operator can set. Each description is the text of `prevenant settings` and of the docs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, toml_file=TOML_FILE, extra="ignore"
    )

    book: Path = Field(
        default_factory=shipped_book,
        description="the rule book; where there is no rules.yaml, the one that is shipped",
    )
    mqtt_url: Annotated[str, AfterValidator(_mqtt_urls)] = Field(
        default="mqtt://127.0.0.1:1883",
        description="the broker, or several: mqtt://, mqtts://, ws:// or wss://, with user and password",
    )
    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        default="sqlite:///var/prevenant.db", description="the store, or postgresql+psycopg://…"
    )
    journal: Annotated[Path, AfterValidator(_file)] = Field(
        default=Path("var/journal.db"), description="durable log of readings"
    )
    journal_keep: Annotated[str, AfterValidator(_duration)] = Field(
        default="30d", description="how long the journal keeps readings; empty: for ever"
    )
    journal_max_size: Annotated[str, AfterValidator(_size)] = Field(
        default="10GB", description="how much the journal may take on the disk; empty: any size"
    )
    models: Annotated[Path, AfterValidator(_folder)] = Field(
        default=Path("var/models"), description="the folder of predictive models"
    )
    http: Annotated[str, AfterValidator(_http_address)] = Field(
        default="127.0.0.1:8080", description="where API and console listen"
    )
    position_topic: Annotated[str, AfterValidator(_position_topic)] = Field(
        default="technicians/{technician}/position",
        description="where technicians' phones say where they are; empty: nowhere",
    )
    crm_sources: Path = Field(
        default=Path("crm.yaml"),
        description="outside CRMs to be read; where there is no such file, none",
    )
    public_url: Annotated[str, AfterValidator(_web_url)] = Field(
        default="", description="where receipts, replies and customers' links come in"
    )
    twilio_account_sid: str = Field(default="", description="Twilio account, for SMS and voice")
    twilio_auth_token: SecretStr = Field(default=SecretStr(""), description="Twilio secret")
    twilio_from: str = Field(default="", description="the number that sends, in the form +33…")
    twilio_senders: Annotated[str, AfterValidator(_senders)] = Field(
        default="", description="other senders by country: FR=+33939980000, GB=Prevenant"
    )
    twilio_base_url: Annotated[str, AfterValidator(_web_url)] = Field(
        default="", description="another address for Twilio's API, for tests and proxies"
    )
    twilio_whatsapp_from: str = Field(
        default="", description="the number that sends by WhatsApp, in the form +33…"
    )
    twilio_whatsapp_template: Annotated[str, AfterValidator(_content_sid)] = Field(
        default="", description="the approved template HX… whose variable 1 is the text"
    )
    sms_gateway: Path = Field(
        default=Path("sms-gateway.yaml"),
        description="an SMS gateway over HTTP; where there is no such file, none",
    )
    sms_first: Literal["twilio", "gateway"] = Field(
        default="twilio", description="who is asked first for SMS where both are set"
    )
    desk_phone: Annotated[str, AfterValidator(_phone)] = Field(
        default="",
        description="the number, +33…, with which key 9 in a call connects; empty: a person calls back",
    )
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] = Field(
        default=SecretStr(""),
        description="e-mail: smtp://, smtps:// or smtp+starttls://user:password@host:port",
    )
    email_from: str = Field(default="", description="the sender of e-mail")
    email_webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="signs e-mail that is handed in: Mailgun's signing key, or your own secret",
    )
    quiet_hours: Annotated[str, AfterValidator(_daily)] = Field(
        default="",
        description="quiet hours of customers who have none of their own, as 21:00-08:00; empty: none",
    )
    quiet_hours_bypass: Literal["minor", "major", "critical", "life_safety"] = Field(
        default="critical",
        description="what is at least so severe goes in quiet hours, too; life_safety always does",
    )
    consent_required: Annotated[str, AfterValidator(_required_consent)] = Field(
        default="",
        description="channels on which customers have to have agreed, as sms:DE+AT, voice; empty: none",
    )
    message_limits: Annotated[str, AfterValidator(_limits)] = Field(
        default="info 3/1d, minor 6/1d, major 12/1h",
        description="how many messages of a severity a contact gets; the rest is gathered into one",
    )
    routing_url: Annotated[str, AfterValidator(_web_url)] = Field(
        default="",
        description="an OSRM or Valhalla server that knows travel times by road; empty: great circles",
    )
    routing_engine: Literal["osrm", "valhalla"] = Field(
        default="osrm", description="what answers there: osrm or valhalla"
    )
    routing_timeout: Annotated[str, AfterValidator(_duration)] = Field(
        default="1s", description="how long that server is waited for; great circles serve then"
    )
    dispatch_gather: Annotated[str, AfterValidator(_duration)] = Field(
        default="3s",
        description="how long jobs wait in a rush, to be assigned together; empty: not at all",
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="signs what workflows call; without it no webhook is called",
    )
    admin_token: SecretStr = Field(
        default=SecretStr(""),
        description="the first administrator's token; made on the first run and printed once if empty",
    )
    heartbeat_url: Annotated[SecretStr, AfterValidator(_secret_web_url)] = Field(
        default=SecretStr(""),
        description="an outside watch, called while the self-audit completes its rounds",
    )
    heartbeat_every: Annotated[str, AfterValidator(_duration)] = Field(
        default="1m", description="how often the outside watch is called"
    )
    clock: Annotated[str, AfterValidator(_clock)] = Field(
        default="",
        description="a faster clock, ORIGIN/REAL_ORIGIN/SPEED, for the demo and rehearsals",
    )

    @classmethod
    def settings_customise_sources(  # noqa: D102  documented by pydantic-settings
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls)
        return (init_settings, env_settings, dotenv_settings, toml)

    @property
    def http_host(self) -> str:
        """The host part of `http`."""
        return self.http.rpartition(":")[0]

    @property
    def http_port(self) -> int:
        """The port part of `http`; 0 lets the machine choose."""
        return int(self.http.rpartition(":")[2])

    @property
    def bypass_severity(self) -> Severity:
        """`quiet_hours_bypass` as a severity."""
        return Severity[self.quiet_hours_bypass.upper()]

    @property
    def limits(self) -> Limits:
        """`message_limits` by severity."""
        return parse_limits(self.message_limits)

    @property
    def routing_timeout_s(self) -> float:
        """`routing_timeout` in seconds."""
        return parse_duration(self.routing_timeout) if self.routing_timeout else 1.0

    @property
    def dispatch_gather_s(self) -> float:
        """`dispatch_gather` in seconds; 0 for not at all."""
        return parse_duration(self.dispatch_gather) if self.dispatch_gather else 0.0

    @property
    def mqtt_urls(self) -> list[str]:
        """The address of each broker."""
        return self.mqtt_url.split(",")

    @property
    def journal_keep_s(self) -> float:
        """`journal_keep` in seconds; 0 for ever."""
        return parse_duration(self.journal_keep) if self.journal_keep else 0.0

    @property
    def heartbeat_every_s(self) -> float:
        """`heartbeat_every` in seconds; 0 after every round of the audit."""
        return parse_duration(self.heartbeat_every) if self.heartbeat_every else 0.0

    @property
    def clock_speed(self) -> float:
        """How many seconds pass on the engine's clock in one real second."""
        return ScaledClock.parse(self.clock).speed if self.clock else 1.0

    @property
    def journal_max_bytes(self) -> int:
        """`journal_max_size` in bytes; 0 for any."""
        return parse_size(self.journal_max_size) if self.journal_max_size else 0

    def make_clock(self, not_before: float = 0.0) -> Clock:
        """Return the clock that the engine runs on, which goes on from `not_before`."""
        return ScaledClock.parse(self.clock) if self.clock else SystemClock(not_before)


def load_settings() -> Settings:
    """Read all sources. Raises SettingsError with everything that is wrong, one line each."""
    unreadable: list[str] = []
    in_env = _read_names(ENV_FILE, _names_of_env, unreadable)
    in_toml = _read_names(TOML_FILE, tomllib.loads, unreadable)
    problems = [
        *(_unknown(name, _ENV_NAMES) for name in _ours(os.environ)),
        *(f"{ENV_FILE}: {_unknown(name, _ENV_NAMES)}" for name in _ours(in_env)),
        *(f"{TOML_FILE}: {_unknown(n, _FIELDS)}" for n in in_toml if n not in _FIELDS),
    ]
    if unreadable:
        raise SettingsError("\n".join([*problems, *unreadable]))
    try:
        settings = Settings()
        problems += _missing_of_providers(settings)
    except ValidationError as error:
        problems += [_line(problem) for problem in error.errors()]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _missing_of_providers(settings: Settings) -> Iterator[str]:
    """Yield what a provider that is set in part lacks."""
    twilio = {
        "_ACCOUNT_SID": settings.twilio_account_sid,
        "_AUTH_TOKEN": settings.twilio_auth_token.get_secret_value(),
        "_FROM": settings.twilio_from,
    }
    missing = [name for name, value in twilio.items() if not value]
    if missing and len(missing) < len(twilio):
        yield (
            "Twilio needs all of PREVENANT_TWILIO_ACCOUNT_SID, _AUTH_TOKEN and _FROM: "
            f"set {' and '.join(missing)} too, or none"
        )
    if settings.twilio_whatsapp_from and missing:
        yield "PREVENANT_TWILIO_WHATSAPP_FROM needs a Twilio account: set its SID, token and FROM too"
    if settings.smtp_url.get_secret_value() and "@" not in settings.email_from:
        yield "PREVENANT_SMTP_URL is set: name the sender with PREVENANT_EMAIL_FROM, as in us@example.org"


def _line(problem: Any) -> str:
    """Return what pydantic says of a setting in our words."""
    name = str(problem["loc"][0])
    if problem["type"] == "value_error":
        return f"{PREFIX}{name.upper()}: {problem['msg'].removeprefix('Value error, ')}"
    # The environment and `.env` hold nothing but texts.
    return f'{TOML_FILE}: {name} has to be a text in quotes: write {name} = "…"'


def describe_settings(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, value (secrets hidden), source and meaning of every setting."""
    sources = [
        ("environment", EnvSettingsSource(Settings)()),
        (".env", DotEnvSettingsSource(Settings)()),
        (TOML_FILE, TomlConfigSettingsSource(Settings)()),
    ]
    for name, field in Settings.model_fields.items():
        source = next((where for where, values in sources if name in values), "default")
        yield (
            PREFIX + name.upper(),
            _shown(getattr(settings, name)),
            source,
            field.description or "",
        )


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return _PASSWORD.sub(r"\1********@", str(value))


_FIELDS = Settings.model_fields
_ENV_NAMES = {PREFIX + name.upper() for name in _FIELDS}


def _ours(names: Iterable[str]) -> Iterator[str]:
    """Yield the names that are meant as settings of ours and are none."""
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in _ENV_NAMES:
            yield name


def _read_names(
    file: str, names_in: Callable[[str], Iterable[str]], unreadable: list[str]
) -> Iterable[str]:
    """Return the names that a file sets; where it cannot be read, add the reason to `unreadable`."""
    try:
        return names_in(Path(file).read_text("utf-8"))
    except FileNotFoundError:
        return ()
    except IsADirectoryError:
        # Some keep a virtual environment in a folder `.env`.
        return ()
    except OSError as error:
        unreadable.append(f"{file} cannot be read: {error.strerror}; mend that, or remove it")
    except UnicodeDecodeError:
        unreadable.append(f"{file} is not in UTF-8: write it again in UTF-8")
    except tomllib.TOMLDecodeError as error:
        unreadable.append(f"{file}: {error}; it has to be TOML")
    except SettingsError as error:
        unreadable.append(f"{file}{error}")
    return ()


def _names_of_env(text: str) -> list[str]:
    bindings = list(parse_stream(io.StringIO(text)))
    for one in bindings:
        if one.error:
            message = f":{one.original.line}: this line cannot be read: write NAME=value"
            raise SettingsError(message)
    return [one.key for one in bindings if one.key]


def _unknown(name: str, known: Iterable[str]) -> str:
    if name.isupper() and known is not _ENV_NAMES:
        return f"{name} is not a setting here: write it without {PREFIX} and in lower case"
    bare = {one.removeprefix(PREFIX): one for one in known}
    close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), bare, 1) or (
        difflib.get_close_matches(name, bare, 1)
    )
    hint = f"did you mean {bare[close[0]]}?" if close else "`prevenant settings` lists them all"
    return f"{name} is not a setting: {hint}"
