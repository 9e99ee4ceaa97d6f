"""Filling the CRM from CSV: everything is judged before anything is written, all errors at once.

A folder holds any of `customers.csv`, `contacts.csv`, `sites.csv`, `devices.csv`, `technicians.csv`.
Rows are found again by their `id`, so that the same files imported twice change nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import phonenumbers
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlmodel import Session, SQLModel, col, delete

from prevenant.crm.shifts import parse_shifts
from prevenant.crm.tables import Contact, Customer, Device, RoleHolder, Site, Technician
from prevenant.document import suggest
from prevenant.domain import device_key
from prevenant.errors import CrmImportError, Problem


def _phone(text: str) -> str:
    if not text:
        return ""
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        message = "this is no phone number: write it with the country, as in +33 6 39 98 00 01"
        raise ValueError(message)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(text: str) -> str:
    name, _, domain = text.partition("@")
    if text and (not name or "." not in domain or " " in text):
        message = "this is no e-mail address: write name@example.org"
        raise ValueError(message)
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = "this is no time zone: write one such as Europe/Paris"
        raise ValueError(message) from None
    return text


def _web(text: str) -> str:
    if text and not text.startswith(("http://", "https://", "sip:")):
        message = "this is no link: write https://…"
        raise ValueError(message)
    return text


def _skills(text: str) -> dict[str, int]:
    skills = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, level = part.partition(":")
        if not name.strip() or (level and not level.strip().isdigit()):
            message = f"{part!r} is no skill: write refrigeration:3; gas:1"
            raise ValueError(message)
        skills[name.strip()] = int(level) if level else 1
    return skills


def _roles(text: str) -> list[tuple[str, str]]:
    roles = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        role, _, site = part.partition("@")
        roles.append((role.strip(), site.strip()))
    return roles


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


Phone = Annotated[str, AfterValidator(_phone)]
Email = Annotated[str, AfterValidator(_email)]
Zone = Annotated[str, AfterValidator(_zone)]
Web = Annotated[str, AfterValidator(_web)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Id = Annotated[str, Field(min_length=1)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class CustomerRow(_Row):
    """One line of customers.csv."""

    id: Id
    name: Id


class ContactRow(_Row):
    """One line of contacts.csv; `roles` is `security@SITE; field-managers`."""

    id: Id
    name: Id
    phone: Phone = ""
    email: Email = ""
    language: Annotated[str, Field(pattern="^[a-z]{2}$")] = "en"
    timezone: Zone = "UTC"
    preferred: Annotated[str, Field(pattern="^(sms|voice|email)$")] = "sms"
    customer: str = ""
    roles: Annotated[list[tuple[str, str]], BeforeValidator(_roles)] = []


class SiteRow(_Row):
    """One line of sites.csv; `contact` is whom to tell as the customer."""

    id: Id
    name: Id
    customer: Id
    contact: str = ""
    address: str = ""
    latitude: Latitude
    longitude: Longitude
    timezone: Zone = "UTC"


class DeviceRow(_Row):
    """One line of devices.csv; `device` is the name in the topic."""

    site: Id
    device: Id
    type: Id
    label: Id
    place: str = ""
    latitude: Annotated[Latitude | None, BeforeValidator(_none_if_empty)] = None
    longitude: Annotated[Longitude | None, BeforeValidator(_none_if_empty)] = None
    camera_url: Web = ""
    loudspeaker_url: Web = ""


class TechnicianRow(_Row):
    """One line of technicians.csv; `contact` names a line of contacts.csv."""

    id: Id
    contact: Id
    latitude: Latitude
    longitude: Longitude
    timezone: Zone = "UTC"
    capacity: Annotated[int, Field(ge=1)] = 1
    skills: Annotated[dict[str, int], BeforeValidator(_skills)]
    shifts: Annotated[list[dict[str, Any]], BeforeValidator(parse_shifts)]


@dataclass(frozen=True, slots=True)
class _File:
    """One kind of file: its rows' form, and what a row refers to by column."""

    name: str
    row: type[_Row]
    references: Mapping[str, str]


_FILES = (
    _File("customers", CustomerRow, {}),
    _File("contacts", ContactRow, {"customer": "customers"}),
    _File("sites", SiteRow, {"customer": "customers", "contact": "contacts"}),
    _File("devices", DeviceRow, {"site": "sites"}),
    _File("technicians", TechnicianRow, {"contact": "contacts"}),
)
_TABLES: Mapping[str, type[SQLModel]] = {
    "customers": Customer,
    "contacts": Contact,
    "sites": Site,
    "devices": Device,
    "technicians": Technician,
}


@dataclass(frozen=True, slots=True)
class _Line:
    """A row that could be read, with its line in the file."""

    number: int
    row: Any


def import_folder(session: Session, folder: Path) -> dict[str, int]:
    """Import every CSV file of `folder`, in the transaction of `session`; return rows by file.

    Raises CrmImportError with every problem of every file; then nothing was written.
    """
    problems: list[Problem] = []
    found = {file.name: folder / f"{file.name}.csv" for file in _FILES}
    present = {name: path for name, path in found.items() if path.is_file()}
    if not present:
        names = ", ".join(f"{file.name}.csv" for file in _FILES)
        problems.append(Problem(str(folder), 1, 1, f"holds none of {names}"))
    lines = {
        file.name: list(_read(present[file.name], file, problems))
        for file in _FILES
        if file.name in present
    }
    for file in _FILES:
        _check_references(session, file, lines, found, problems)
    if problems:
        raise CrmImportError(problems)
    for file in _FILES:
        for line in lines.get(file.name, ()):
            _WRITERS[file.name](session, line.row)
        session.flush()
    return {name: len(rows) for name, rows in lines.items()}


def _read(path: Path, file: _File, problems: list[Problem]) -> Iterator[_Line]:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        problems.append(Problem(str(path), 1, 1, f"cannot be read as CSV in UTF-8: {error}"))
        return
    columns = [str(column) for column in frame.columns]
    known = list(file.row.model_fields)
    missing = [n for n, f in file.row.model_fields.items() if f.is_required() and n not in columns]
    problems += [
        Problem(str(path), 1, 1, f"the column {name!r} is missing: add it") for name in missing
    ]
    for number, name in enumerate(columns, 1):
        if name not in known:
            message = f"the column {name!r} is not known: {suggest(name, known)}"
            problems.append(Problem(str(path), 1, number, message))
    if missing or set(columns) - set(known):
        return
    seen: dict[str, int] = {}
    for line, values in enumerate(frame.to_dict("records"), 2):
        try:
            given = {str(k): v for k, v in values.items() if v != "" or _needs_value(file.row, k)}
            row = file.row.model_validate(given)
        except ValidationError as error:
            problems += _row_problems(path, line, columns, error)
            continue
        identity = _identity(row)
        if identity in seen:
            message = f"{identity!r} stands in line {seen[identity]} already: keep one of them"
            problems.append(Problem(str(path), line, 1, message))
        seen[identity] = line
        yield _Line(line, row)


def _needs_value(row: type[_Row], name: Any) -> bool:
    return row.model_fields[str(name)].is_required()


def _row_problems(
    path: Path, line: int, columns: Sequence[str], error: ValidationError
) -> Iterator[Problem]:
    for detail in error.errors():
        name = str(detail["loc"][0])
        text = detail["msg"].removeprefix("Value error, ")
        text = text[:1].lower() + text[1:]
        yield Problem(str(path), line, columns.index(name) + 1, f"{name}: {text}")


def _identity(row: Any) -> str:
    return device_key(row.site, row.device) if isinstance(row, DeviceRow) else str(row.id)


def _check_references(
    session: Session,
    file: _File,
    lines: Mapping[str, Sequence[_Line]],
    paths: Mapping[str, Path],
    problems: list[Problem],
) -> None:
    for column, target in file.references.items():
        known = {_identity(line.row) for line in lines.get(target, ())}
        for line in lines.get(file.name, ()):
            wanted = getattr(line.row, column)
            if not wanted or wanted in known or session.get(_TABLES[target], wanted) is not None:
                continue
            number = list(file.row.model_fields).index(column) + 1
            message = f"{column}: there is no {wanted!r} in {target}.csv: {suggest(wanted, known)}"
            problems.append(Problem(str(paths[file.name]), line.number, number, message))


def _write_customer(session: Session, row: CustomerRow) -> None:
    session.merge(Customer(id=row.id, name=row.name))


def _write_contact(session: Session, row: ContactRow) -> None:
    values = row.model_dump(exclude={"customer", "roles"})
    session.merge(Contact(**values, customer_id=row.customer or None))
    session.flush()
    session.execute(delete(RoleHolder).where(col(RoleHolder.contact_id) == row.id))
    for role, site in row.roles:
        session.add(RoleHolder(contact_id=row.id, role=role, site_id=site))


def _write_site(session: Session, row: SiteRow) -> None:
    values = row.model_dump(exclude={"customer", "contact"})
    session.merge(Site(**values, customer_id=row.customer, contact_id=row.contact or None))


def _write_device(session: Session, row: DeviceRow) -> None:
    values = row.model_dump(exclude={"site", "device"})
    session.merge(Device(id=device_key(row.site, row.device), site_id=row.site, **values))


def _write_technician(session: Session, row: TechnicianRow) -> None:
    values = row.model_dump(exclude={"contact"})
    session.merge(Technician(**values, contact_id=row.contact))


_WRITERS: Mapping[str, Callable[[Session, Any], None]] = {
    "customers": _write_customer,
    "contacts": _write_contact,
    "sites": _write_site,
    "devices": _write_device,
    "technicians": _write_technician,
}
