"""The rows of the CRM as they come from files, from the API and from other CRMs: their form, judged.

Every cell may be a text, as in CSV; lists and levels may also come as JSON has them.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

import phonenumbers
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from prevenant.clock import timezones
from prevenant.crm.public_holidays import judge_region
from prevenant.crm.shifts import parse_shifts
from prevenant.daily import parse_daily

_COUNT = re.compile(r"[0-9]{1,9}")
_CHAT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_YES_NO = {"oui": "yes", "ja": "yes", "non": "no", "nein": "no", "": "yes"}
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")
"""Some scripts need them within a word."""
_FIRST_YEAR, _LAST_YEAR = 1900, 2999
_BARE_DIGITS = 10
"""A number without + that has at least so many digits may have lost it to a spreadsheet."""


def parse_phone(text: str) -> str:
    """Return a phone number as +33…; a spreadsheet may have taken its + away. Raises ValueError.

    What is dialled from most countries to call abroad (00) stands for the +, too.
    """
    if not text:
        return ""
    number = _number(re.sub(r"^\s*0\s?0", "+", text))
    if number is None and text.isdigit() and len(text) >= _BARE_DIGITS:
        number = _number(f"+{text}")
        if number is not None and not phonenumbers.is_valid_number(number):
            number = None
    if number is None:
        message = "this is no phone number: write it with the country, as in +33 6 39 98 00 01"
        if text[:1].isdigit() and re.fullmatch(r"[\d.,eE+]+", text):
            message += " (in a spreadsheet, make the column text)"
        raise ValueError(message)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _number(text: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_possible_number(number) else None


def is_unseen(character: str) -> bool:
    """Return whether a character ends a line, commands a terminal, or hides how an id is written."""
    kind = unicodedata.category(character)
    return kind in _UNSEEN and character not in _JOINERS


def _seen(text: str) -> str:
    if not text.isprintable():
        unseen = next(filter(is_unseen, text), "")
        if unseen:
            message = f"it holds U+{ord(unseen):04X}, which nobody sees: write it anew, on one line"
            raise ValueError(message)
    return text


def _email(text: str) -> str:
    name, _, domain = text.partition("@")
    if text and (not name or "." not in domain or " " in text):
        message = "this is no e-mail address: write name@example.org"
        raise ValueError(message)
    return text


def _chat(text: str) -> str:
    if text.endswith("://********"):
        message = "this only stands for the address: write all of it, or leave the column out"
        raise ValueError(message)
    if text and not _CHAT.fullmatch(text):
        message = "this is no address of a chat: write it as Apprise does, as in ntfys://host/topic"
        raise ValueError(message)
    return text


def _zone(text: str) -> str:
    if text not in timezones():
        message = "this is no time zone: write one such as Europe/Paris"
        raise ValueError(message)
    return text


def _web(text: str) -> str:
    if text and not text.startswith(("http://", "https://", "sip:")):
        message = "this is no link: write https://…"
        raise ValueError(message)
    return text


def _quiet(text: str) -> str:
    if text:
        parse_daily(text)
    return text


@lru_cache(1_000)
def _holidays(text: str) -> str:
    return judge_region(text) if text else ""


def _parts_of(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(";")) if part]


def _counted(what: str, example: str) -> Callable[[Any], Any]:
    """Return a reader of `name:3; other:1`, in which a name alone counts 1."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        counts = {}
        for part in _parts_of(value):
            name, _, count = part.partition(":")
            if not name.strip() or (count.strip() and not _COUNT.fullmatch(count.strip())):
                message = f"{part!r} is no {what}: write {example}"
                raise ValueError(message)
            counts[name.strip()] = int(count) if count.strip() else 1
        return counts

    return read


def _names(value: Any) -> Any:
    return _parts_of(value) if isinstance(value, str) else value


def _roles(value: Any) -> Any:
    texts = _parts_of(value) if isinstance(value, str) else value
    if not isinstance(texts, list):
        return value
    roles = []
    for one in texts:
        if isinstance(one, str):
            role, _, site = one.partition("@")
            one = (role.strip(), site.strip())  # noqa: PLW2901  the pair that the text means
        roles.append(one)
    return roles


@lru_cache(10_000)
def _shift_text(text: str) -> list[dict[str, Any]]:
    return parse_shifts(text)


def _shifts(value: Any) -> Any:
    return _shift_text(value) if isinstance(value, str) else value


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _decimal(value: Any) -> Any:
    """Read a decimal comma, as spreadsheets write it in half of the world."""
    is_comma = isinstance(value, str) and "." not in value and value.count(",") == 1
    return value.replace(",", ".") if is_comma else value


def _truth(value: Any) -> Any:
    return _YES_NO.get(value.strip().lower(), value) if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """Read a time in ISO 8601; a day alone is its beginning."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            message = "this is no time: write 2026-05-04 or 2026-05-04T08:00+02:00"
            raise ValueError(message) from None
    return value


def _sane(at: datetime) -> datetime:
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        message = f"this is no time of ours: write one from {_FIRST_YEAR} to {_LAST_YEAR}"
        raise ValueError(message)
    return at


def _in_utc(at: datetime) -> datetime:
    return (_sane(at) if at.tzinfo else _sane(at).replace(tzinfo=UTC)).astimezone(UTC)


def _end(value: Any) -> Any:
    """Read a time; a day alone is its end."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value.strip()):
        return _moment(f"{value.strip()}T23:59:59.999999")
    return _moment(value)


Phone = Annotated[str, AfterValidator(parse_phone)]
Email = Annotated[str, AfterValidator(_email)]
Zone = Annotated[str, AfterValidator(_zone)]


def _visible(text: str) -> str:
    if not any(one.isprintable() and not one.isspace() for one in text):
        message = "nothing of it can be seen: fill it in"
        raise ValueError(message)
    return text


Web = Annotated[str, AfterValidator(_web)]
Latitude = Annotated[float, BeforeValidator(_decimal), Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, BeforeValidator(_decimal), Field(ge=-180, le=180, allow_inf_nan=False)]
Words = Annotated[str, Field(min_length=1), AfterValidator(_visible)]
LONGEST_ID = 500
"""More than this no database can find again by an index."""
Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID), AfterValidator(_seen)]
MaybeId = Annotated[str, Field(max_length=LONGEST_ID), AfterValidator(_seen)]
Label = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_in_utc)]
MaybeMoment = Annotated[
    Annotated[datetime, AfterValidator(_in_utc)] | None,
    BeforeValidator(_moment),
    BeforeValidator(_none_if_empty),
]
LocalMoment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_sane)]
"""Without an offset it is in the technician's time zone."""
LocalEnd = Annotated[datetime, BeforeValidator(_end), AfterValidator(_sane)]
Level = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class Shift(BaseModel):
    """One working time: days from 0, Monday, and from when to when."""

    model_config = ConfigDict(extra="forbid")

    days: list[Annotated[int, Field(ge=0, le=6)]]
    start: Annotated[str, Field(pattern=r"^(?:[01]\d|2[0-3]):[0-5]\d$")]
    end: Annotated[str, Field(pattern=r"^(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)$")]


class Row(BaseModel):
    """One line of a file; `extra` columns are refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, coerce_numbers_to_str=True)


class AreaRow(Row):
    """A part of the country or of a building."""

    id: Id
    name: Words


class CustomerRow(Row):
    """Someone whom we serve."""

    id: Id
    name: Words


class ContactRow(Row):
    """A person; `roles` is `security@SITE; field-managers`."""

    id: Id
    name: Words
    phone: Phone = ""
    email: Email = ""
    whatsapp: Phone = ""
    chat: Annotated[str, AfterValidator(_chat)] = ""
    language: Annotated[str, Field(pattern="^[a-z]{2}$")] = "en"
    timezone: Zone = "UTC"
    preferred: Annotated[str, Field(pattern="^(sms|voice|email|whatsapp|chat)$")] = "sms"
    quiet_hours: Annotated[str, AfterValidator(_quiet)] = ""
    customer: str = ""
    roles: Annotated[list[tuple[Id, str]], BeforeValidator(_roles)] = []
    active: Truth = True


class SiteRow(Row):
    """A place; `contact` is whom to tell as the customer."""

    id: Id
    name: Words
    customer: Id
    contact: str = ""
    address: str = ""
    latitude: Latitude
    longitude: Longitude
    timezone: Zone = "UTC"
    area: str = ""


class RoleRow(Row):
    """A contact's role, at one site or, without one, everywhere."""

    contact: Id
    role: Id
    site: str = ""


class AssetRow(Row):
    """What is served: an appliance, a machine."""

    id: Id
    site: Id
    name: Words
    model: str = ""
    serial: str = ""
    installed_at: MaybeMoment = None
    warranty_until: MaybeMoment = None


class DeviceRow(Row):
    """Something that speaks MQTT; `device` is the name in the topic.

    `id` tells it where it was adopted under a site that its topic does not name.
    """

    id: MaybeId = ""
    site: Id
    device: Id
    type: Id
    label: Label
    place: str = ""
    latitude: Annotated[Latitude | None, BeforeValidator(_none_if_empty)] = None
    longitude: Annotated[Longitude | None, BeforeValidator(_none_if_empty)] = None
    camera_url: Web = ""
    loudspeaker_url: Web = ""
    asset: str = ""


class TechnicianRow(Row):
    """Someone who can be sent; `contact` names a contact."""

    id: Id
    contact: Id
    latitude: Latitude
    longitude: Longitude
    timezone: Zone = "UTC"
    capacity: Level = 1
    skills: Annotated[
        dict[str, Level], BeforeValidator(_counted("skill", "refrigeration:3; gas:1"))
    ]
    shifts: Annotated[list[Shift], BeforeValidator(_shifts)]
    holidays: Annotated[str, AfterValidator(_holidays)] = ""
    areas: Annotated[list[Id], BeforeValidator(_names)] = []
    parts: Annotated[
        dict[str, Count], BeforeValidator(_counted("part", "compressor:2; door seal"))
    ] = {}
    active: Truth = True


class LeaveRow(Row):
    """A time in which a technician does not work; a day alone as the end is that whole day."""

    id: MaybeId = ""
    technician: Id
    starts_at: LocalMoment
    ends_at: LocalEnd
    reason: str = ""


class ExclusionRow(Row):
    """A technician who is not to be sent to a customer."""

    technician: Id
    customer: Id
    reason: str = ""


class ConsentRow(Row):
    """What a contact said of being told on a channel."""

    contact: Id
    channel: Annotated[str, Field(pattern="^(sms|voice|email|whatsapp|chat|any)$")]
    state: Annotated[str, Field(pattern="^(granted|withdrawn)$")]
    at: Moment
    source: str = ""
    proof: str = ""


class PositionRow(Row):
    """Where a technician was seen."""

    technician: Id
    latitude: Latitude
    longitude: Longitude
    observed_at: Moment


def shown_counts(counts: Mapping[str, Any]) -> str:
    """Return skills or parts as a file has them."""
    return "; ".join(f"{name}:{count}" for name, count in counts.items())
