"""Settings from the environment, `.env` and `prevenant.toml`, in this order of precedence."""

import difflib
import io
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

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

from prevenant.clock import Clock, ScaledClock, SystemClock
from prevenant.domain import Severity
from prevenant.durations import parse_duration
from prevenant.errors import SettingsError
from prevenant.limits import Limit, Limits, parse_limit, parse_limits
from prevenant.setting_forms import (
    PASSWORD_IN_URL,
    check_clock,
    check_content_sid,
    check_daily,
    check_database_url,
    check_duration,
    check_file,
    check_folder,
    check_groups,
    check_http_address,
    check_issuer,
    check_kafka_member,
    check_kafka_partitions,
    check_kafka_topic,
    check_kafka_url,
    check_limits,
    check_mqtt_urls,
    check_networks,
    check_phone,
    check_position_topic,
    check_probes,
    check_rate,
    check_required_consent,
    check_secret_web_url,
    check_senders,
    check_session,
    check_size,
    check_smtp_url,
    check_tiles,
    check_web_url,
    parse_size,
)

PREFIX = "PREVENANT_"
ENV_FILE, TOML_FILE = ".env", "prevenant.toml"


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
    mqtt_url: Annotated[str, AfterValidator(check_mqtt_urls)] = Field(
        default="mqtt://127.0.0.1:1883",
        description="the broker, or several: mqtt://, mqtts://, ws:// or wss://, with user and password",
    )
    database_url: Annotated[str, AfterValidator(check_database_url)] = Field(
        default="sqlite:///var/prevenant.db", description="the store, or postgresql+psycopg://…"
    )
    journal: Annotated[Path, AfterValidator(check_file)] = Field(
        default=Path("var/journal.db"), description="durable log of readings"
    )
    journal_keep: Annotated[str, AfterValidator(check_duration)] = Field(
        default="30d", description="how long the journal keeps readings; empty: for ever"
    )
    journal_max_size: Annotated[str, AfterValidator(check_size)] = Field(
        default="10GB", description="how much the journal may take on the disk; empty: any size"
    )
    kafka_url: Annotated[str, AfterValidator(check_kafka_url)] = Field(
        default="",
        description="Kafka in place of the journal: kafka://host:9092,host:9092, or kafkas:// with TLS",
    )
    kafka_topic: Annotated[str, AfterValidator(check_kafka_topic)] = Field(
        default="prevenant", description="the topic of the stream"
    )
    kafka_partitions: Annotated[str, AfterValidator(check_kafka_partitions)] = Field(
        default="12", description="how many partitions it is made with; it keeps them"
    )
    kafka_member: Annotated[str, AfterValidator(check_kafka_member)] = Field(
        default="",
        description="a lasting name of this process among those that decide; empty: a new one each time",
    )
    models: Annotated[Path, AfterValidator(check_folder)] = Field(
        default=Path("var/models"), description="the folder of predictive models"
    )
    tasks: Annotated[Path, AfterValidator(check_folder)] = Field(
        default=Path("var/tasks"), description="the folder of long work asked for in the console"
    )
    task_memory: Annotated[str, AfterValidator(check_size)] = Field(
        default="2GB", description="how much memory such work may take; empty: any"
    )
    http: Annotated[str, AfterValidator(check_http_address)] = Field(
        default="127.0.0.1:8080", description="where API and console listen"
    )
    probes: Annotated[str, AfterValidator(check_probes)] = Field(
        default="",
        description="where a process without the console answers probes and Prometheus; empty: nowhere",
    )
    operators: int = Field(
        default=1, ge=1, le=1000, description="how many people watch the board at the same time"
    )
    position_topic: Annotated[str, AfterValidator(check_position_topic)] = Field(
        default="technicians/{technician}/position",
        description="where technicians' phones say where they are; empty: nowhere",
    )
    crm_sources: Path = Field(
        default=Path("crm.yaml"),
        description="outside CRMs to be read; where there is no such file, none",
    )
    public_url: Annotated[str, AfterValidator(check_web_url)] = Field(
        default="", description="where receipts, replies and customers' links come in"
    )
    map_tiles: Annotated[str, AfterValidator(check_tiles)] = Field(
        default="",
        description="the pictures below the map, as https://…/{z}/{x}/{y}.png; empty: none",
    )
    map_credit: str = Field(
        default="", description="whose the map is, as its owner asks to be named below it"
    )
    twilio_account_sid: str = Field(default="", description="Twilio account, for SMS and voice")
    twilio_auth_token: SecretStr = Field(default=SecretStr(""), description="Twilio secret")
    twilio_from: str = Field(default="", description="the number that sends, in the form +33…")
    twilio_senders: Annotated[str, AfterValidator(check_senders)] = Field(
        default="", description="other senders by country: FR=+33939980000, GB=Prevenant"
    )
    twilio_base_url: Annotated[str, AfterValidator(check_web_url)] = Field(
        default="", description="another address for Twilio's API, for tests and proxies"
    )
    twilio_whatsapp_from: str = Field(
        default="", description="the number that sends by WhatsApp, in the form +33…"
    )
    twilio_whatsapp_template: Annotated[str, AfterValidator(check_content_sid)] = Field(
        default="", description="the approved template HX… whose variable 1 is the text"
    )
    sms_gateway: Path = Field(
        default=Path("sms-gateway.yaml"),
        description="an SMS gateway over HTTP; where there is no such file, none",
    )
    sms_first: Literal["twilio", "gateway"] = Field(
        default="twilio", description="who is asked first for SMS where both are set"
    )
    desk_phone: Annotated[str, AfterValidator(check_phone)] = Field(
        default="",
        description="the number, +33…, with which key 9 in a call connects; empty: a person calls back",
    )
    smtp_url: Annotated[SecretStr, AfterValidator(check_smtp_url)] = Field(
        default=SecretStr(""),
        description="e-mail: smtp://, smtps:// or smtp+starttls://user:password@host:port",
    )
    email_from: str = Field(default="", description="the sender of e-mail")
    email_webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="signs e-mail that is handed in: Mailgun's signing key, or your own secret",
    )
    readings_webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="signs readings that are handed in at /webhooks/readings; empty: none is taken",
    )
    quiet_hours: Annotated[str, AfterValidator(check_daily)] = Field(
        default="",
        description="quiet hours of customers who have none of their own, as 21:00-08:00; empty: none",
    )
    quiet_hours_bypass: Literal["minor", "major", "critical", "life_safety"] = Field(
        default="critical",
        description="what is at least so severe goes in quiet hours, too; life_safety always does",
    )
    consent_required: Annotated[str, AfterValidator(check_required_consent)] = Field(
        default="",
        description="channels on which customers have to have agreed, as sms:DE+AT, voice; empty: none",
    )
    message_limits: Annotated[str, AfterValidator(check_limits)] = Field(
        default="info 3/1d, minor 6/1d, major 12/1h",
        description="how many messages of a severity a contact gets; the rest is gathered into one",
    )
    routing_url: Annotated[str, AfterValidator(check_web_url)] = Field(
        default="",
        description="an OSRM or Valhalla server that knows travel times by road; empty: great circles",
    )
    routing_engine: Literal["osrm", "valhalla"] = Field(
        default="osrm", description="what answers there: osrm or valhalla"
    )
    routing_timeout: Annotated[str, AfterValidator(check_duration)] = Field(
        default="1s", description="how long that server is waited for; great circles serve then"
    )
    dispatch_gather: Annotated[str, AfterValidator(check_duration)] = Field(
        default="3s",
        description="how long jobs wait in a rush, to be assigned together; empty: not at all",
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="signs what workflows call; without it no webhook is called",
    )
    webhook_networks: Annotated[str, AfterValidator(check_networks)] = Field(
        default="",
        description="private networks to which subscribed webhooks may go, as 10.0.0.0/8; empty: none",
    )
    admin_token: SecretStr = Field(
        default=SecretStr(""),
        description="the first administrator's token; made on the first run and printed once if empty",
    )
    openid_issuer: Annotated[str, AfterValidator(check_issuer)] = Field(
        default="",
        description="an OpenID provider through which people may sign in: https://id.example.org",
    )
    openid_client_id: str = Field(default="", description="what that provider calls us")
    openid_client_secret: SecretStr = Field(
        default=SecretStr(""), description="our secret there; empty for a public client"
    )
    openid_name: str = Field(default="OpenID", description="how the sign-in page calls it")
    openid_groups_claim: str = Field(
        default="groups", description="the claim that lists somebody's groups there"
    )
    openid_groups: Annotated[str, AfterValidator(check_groups)] = Field(
        default="",
        description="what groups may here: admins=administrator, desk=operator@area:north",
    )
    session_lasts: Annotated[str, AfterValidator(check_session)] = Field(
        default="7d", description="how long somebody stays signed in at the console at most"
    )
    session_idle: Annotated[str, AfterValidator(check_session)] = Field(
        default="12h", description="after how long without use somebody is signed out"
    )
    api_rate: Annotated[str, AfterValidator(check_rate)] = Field(
        default="6000/1m",
        description="how often a token, or a browser, may ask in how long; empty: as often as it likes",
    )
    trail_keep: Annotated[str, AfterValidator(check_session)] = Field(
        default="400d", description="how long the trail of what people did is kept"
    )
    heartbeat_url: Annotated[SecretStr, AfterValidator(check_secret_web_url)] = Field(
        default=SecretStr(""),
        description="an outside watch, called while the self-audit completes its rounds",
    )
    heartbeat_every: Annotated[str, AfterValidator(check_duration)] = Field(
        default="1m", description="how often the outside watch is called"
    )
    clock: Annotated[str, AfterValidator(check_clock)] = Field(
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
    def session_lasts_s(self) -> float:
        """`session_lasts` in seconds."""
        return parse_duration(self.session_lasts)

    @property
    def session_idle_s(self) -> float:
        """`session_idle` in seconds."""
        return parse_duration(self.session_idle)

    @property
    def api_limit(self) -> Limit | None:
        """`api_rate` as a limit; None for none."""
        return parse_limit(self.api_rate) if self.api_rate else None

    @property
    def trail_keep_s(self) -> float:
        """`trail_keep` in seconds."""
        return parse_duration(self.trail_keep)

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

    @property
    def task_memory_bytes(self) -> int:
        """`task_memory` in bytes; 0 for any."""
        return parse_size(self.task_memory) if self.task_memory else 0

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
    if settings.openid_issuer and not (settings.openid_client_id and settings.public_url):
        yield (
            "PREVENANT_OPENID_ISSUER is set: set PREVENANT_OPENID_CLIENT_ID and PREVENANT_PUBLIC_URL too"
        )
    if settings.smtp_url.get_secret_value() and "@" not in settings.email_from:
        yield "PREVENANT_SMTP_URL is set: name the sender with PREVENANT_EMAIL_FROM, as in us@example.org"


def _line(problem: Any) -> str:
    """Return what pydantic says of a setting in our words."""
    name, kind = str(problem["loc"][0]), problem["type"]
    shown = f"{PREFIX}{name.upper()}"
    if kind == "value_error":
        return f"{shown}: {problem['msg'].removeprefix('Value error, ')}"
    if kind == "literal_error":
        return f"{shown}: {problem['input']!r} cannot be used: write {problem['ctx']['expected']}"
    if Settings.model_fields[name].annotation is int:
        return f"{shown}: {problem['input']!r} cannot be used: write {_whole_number(name)}"
    # The environment and `.env` hold nothing but texts.
    return f'{TOML_FILE}: {name} has to be a text in quotes: write {name} = "…"'


def _whole_number(name: str) -> str:
    """Return which numbers a setting takes."""
    bounds = {
        kind: getattr(limit, kind)
        for limit in Settings.model_fields[name].metadata
        for kind in ("ge", "le")
        if hasattr(limit, kind)
    }
    return f"a whole number from {bounds['ge']} to {bounds['le']}"


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
    return PASSWORD_IN_URL.sub(r"\1********@", str(value))


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
