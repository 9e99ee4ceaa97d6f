"""In which form each setting is written: what is judged of a value before anything runs.

Each returns the value in one form, or raises ValueError with the remedy.
"""

import re
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from prevenant.clock import ScaledClock
from prevenant.daily import parse_daily
from prevenant.document import suggest
from prevenant.durations import parse_duration
from prevenant.kafka_address import KafkaAddress
from prevenant.limits import parse_limit, parse_limits
from prevenant.senders import Senders

_MQTT_SCHEMES = ("mqtt", "mqtts", "ws", "wss")
_MQTT_OPTIONS = {
    "client_id": (r"[^/+#\s]{1,200}", "a name of up to 200 characters without /, +, # and spaces"),
    "protocol": (r"5|5\.0|3|3\.1\.1", "5 or 3.1.1"),
    "qos": (r"[012]", "0, 1 or 2"),
    "share": (r"[^/+#\s]+", "the name of a group, without /, +, # and spaces"),
    "keepalive": (r"[1-9][0-9]{0,3}", "seconds from 1 to 9999, as in 30"),
    "session_expiry": (r".+", "a length of time, as in 7d"),
    "will": (r"[^+#]+", "a topic without + and #"),
    "ca": (r".+", "a file, as in ca.pem"),
    "cert": (r".+", "a file, as in us.pem"),
    "key": (r".+", "a file, as in us.key"),
}
"""What a broker's address may say behind its question mark, in which form, and that form in words."""
_TLS_FILES = {"ca", "cert", "key"}
_SHORTEST_S = 60.0
PASSWORD_IN_URL = re.compile(r"(://[^\s,:/@]*:)[^\s,/]*@")
_SPACES = re.compile(r"[\s,]+")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT])B?")
_KAFKA_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_MOST_PARTITIONS = 1_000
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_CONSENT = re.compile(r"[a-z]+(:[A-Z]{2}(\+[A-Z]{2})*)?")
_BY_NUMBER = frozenset({"sms", "voice", "whatsapp"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_GROUP = re.compile(r"[^=,]+=(viewer|operator|author|administrator)(@(area|customer|site):[^,@]+)?")
_CHANNELS = _BY_NUMBER | {"email", "chat"}
_SMTP_SCHEMES = ("smtp", "smtps", "smtp+starttls")


def check_mqtt_urls(text: str) -> str:
    """Judge addresses of brokers, with what stands behind the question mark."""
    urls = _SPACES.split(text.strip())
    for url in urls:
        if "#" in url:
            # What stands behind it would be passed over.
            message = "write # in a broker's address as %23"
            raise ValueError(message)
        _url(url, _MQTT_SCHEMES, "mqtt://127.0.0.1:1883")
        _check_mqtt_options(url)
    return ",".join(urls)


def _check_mqtt_options(url: str) -> None:
    for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items():
        value = values[-1]
        if name not in _MQTT_OPTIONS:
            message = f"?{name}= is not known in a broker's address: {suggest(name, _MQTT_OPTIONS)}"
            raise ValueError(message)
        pattern, form = _MQTT_OPTIONS[name]
        if not re.fullmatch(pattern, value):
            message = f"?{name}={value} cannot be used in a broker's address: write {form}"
            raise ValueError(message)
        if name in _TLS_FILES and not url.startswith(("mqtts:", "wss:")):
            message = f"?{name}= in a broker's address is for TLS: begin it with mqtts:// or wss://"
            raise ValueError(message)
        if name == "session_expiry":
            with suppress(ValueError):
                if parse_duration(value) >= 1:
                    continue
            message = "?session_expiry= in a broker's address is from 1s to 36500d"
            raise ValueError(message)


def check_database_url(text: str) -> str:
    """Judge the address of a database."""
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


def check_kafka_url(text: str) -> str:
    """Judge the address of a Kafka; empty is none."""
    address = KafkaAddress.parse(text) if text else None
    for name in ("ca", "cert", "key") if address else ():
        file = getattr(address, name)
        if file and not Path(file).is_file():
            message = f"?{name}= in Kafka's address: there is no file {file}"
            raise ValueError(message)
    return text


def check_kafka_topic(text: str) -> str:
    """Judge the name of a topic."""
    if not _KAFKA_NAME.fullmatch(text):
        message = "write a name of letters, digits, dots, underscores and hyphens, as in prevenant"
        raise ValueError(message)
    return text


def check_kafka_partitions(text: str) -> str:
    """Judge a number of partitions."""
    if not text.isdigit() or not 1 <= int(text) <= _MOST_PARTITIONS:
        message = f"write a number from 1 to {_MOST_PARTITIONS}, as in 12"
        raise ValueError(message)
    return text


def check_kafka_member(text: str) -> str:
    """Judge the name of a member of a group; empty is a new one each time."""
    return check_kafka_topic(text) if text else text


def check_file(path: Path) -> Path:
    """Judge a path that a file has, or will have."""
    if not path.name or path.is_dir():
        message = f"{path} is a folder: name a file, as in var/journal.db"
        raise ValueError(message)
    return path


def check_folder(path: Path) -> Path:
    """Judge a path that a folder has, or will have."""
    if path.is_file():
        message = f"{path} is a file: name a folder, as in var/models"
        raise ValueError(message)
    return path


def check_http_address(text: str) -> str:
    """Judge a host and a port to listen at."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004  the largest port
        message = "write HOST:PORT, as in 127.0.0.1:8080"
        raise ValueError(message)
    return text


def check_probes(text: str) -> str:
    """Judge where probes are answered; empty for nowhere."""
    return check_http_address(text) if text else ""


def check_web_url(text: str) -> str:
    """Judge an address of the web; it ends without a slash."""
    return (
        _url(text, ("http", "https"), "https://prevenant.example.org").rstrip("/") if text else ""
    )


def check_tiles(text: str) -> str:
    """Judge the pattern of addresses of the pictures below a map."""
    if not text:
        return ""
    _url(text, ("http", "https"), "https://tiles.example.org/{z}/{x}/{y}.png")
    missing = [part for part in ("{z}", "{x}", "{y}") if part not in text]
    if missing or set(urlsplit(text).netloc) & set("{}\"' ;,*"):
        message = "write one server and {z}, {x}, {y}: https://tiles.example.org/{z}/{x}/{y}.png"
        raise ValueError(message)
    return text


def check_issuer(text: str) -> str:
    """Judge the address of whoever vouches for people."""
    if not text:
        return ""
    _url(text, ("http", "https"), "https://id.example.org")
    parts = urlsplit(text)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        message = "an OpenID provider is asked over https://, but on this machine itself"
        raise ValueError(message)
    return text


def check_groups(text: str) -> str:
    """Judge which groups get which roles."""
    for part in filter(None, (one.strip() for one in text.split(","))):
        if not _GROUP.fullmatch(part):
            message = (
                f"{part!r} says of no group what it may: write admins=administrator, "
                "desk=operator@area:north"
            )
            raise ValueError(message)
    return text


def check_secret_web_url(text: SecretStr) -> SecretStr:
    """Judge an address of the web that holds a secret."""
    if text.get_secret_value():
        _url(text.get_secret_value(), ("http", "https"), "https://watch.example.org/ping/KEY")
    return text


def check_phone(text: str) -> str:
    """Judge a phone number."""
    if text and not _PHONE.fullmatch(text):
        message = "write a number in the form +33139980000"
        raise ValueError(message)
    return text


def check_smtp_url(text: SecretStr) -> SecretStr:
    """Judge the address of a mail server, which holds a password."""
    if text.get_secret_value():
        _url(text.get_secret_value(), _SMTP_SCHEMES, "smtp+starttls://user:password@host:587")
    return text


def check_senders(text: str) -> str:
    """Judge senders by country."""
    Senders.parse("", text)
    return text


def check_content_sid(text: str) -> str:
    """Judge the SID of a template at Twilio."""
    if text and not re.fullmatch(r"HX[0-9a-f]{32}", text):
        message = "write the template's SID as Twilio's console shows it: HX and 32 digits"
        raise ValueError(message)
    return text


def check_position_topic(text: str) -> str:
    """Judge the topic of positions."""
    levels = text.split("/")
    if text and (levels.count("{technician}") != 1 or "#" in text):
        message = "write a topic with the level {technician}, as in phones/{technician}/position"
        raise ValueError(message)
    return text


def check_duration(text: str) -> str:
    """Judge a length of time; empty is none."""
    if text:
        parse_duration(text)
    return text


def check_session(text: str) -> str:
    """Judge how long a sign-in may last."""
    if parse_duration(text) < _SHORTEST_S:
        message = f"{text!r}: write a length of time from 1m to 36500d"
        raise ValueError(message)
    return text


def check_daily(text: str) -> str:
    """Judge a time of each day; empty is none."""
    if text:
        parse_daily(text)
    return text


def check_required_consent(text: str) -> str:
    """Judge for which channels consent is needed."""
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


def check_limits(text: str) -> str:
    """Judge how many messages there may be."""
    parse_limits(text)
    return text


def check_networks(text: str) -> str:
    """Judge networks; empty is none."""
    for one in text.split(","):
        try:
            if text.strip():
                ip_network(one.strip())
        except ValueError:
            message = f"{one.strip()!r} is no network: write 10.0.0.0/8, or 192.168.1.7/32"
            raise ValueError(message) from None
    return text.strip()


def check_rate(text: str) -> str:
    """Judge how often something may be done; empty is any."""
    if text:
        parse_limit(text)
    return text


def check_size(text: str) -> str:
    """Judge a size; empty is any."""
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


def check_clock(text: str) -> str:
    """Judge the clock of a demo; empty is the machine's."""
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
