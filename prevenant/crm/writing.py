"""Writing rows that were judged: those alone that differ, many at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Table, delete, insert, tuple_, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from prevenant.crm.entities import ENTITIES, Entity
from prevenant.crm.judging import Judgement, Line
from prevenant.crm.missing import MOST_REMOVED
from prevenant.crm.positions import KNOWN, Heard, record_positions
from prevenant.crm.tables import (
    CRM,
    Contact,
    CrmRecord,
    Exclusion,
    Leave,
    RoleHolder,
    Technician,
)
from prevenant.errors import TooManyMissing
from prevenant.store import in_chunks, wake

_POSITION = ("latitude", "longitude", "observed_at")


@dataclass(slots=True)
class Tally:
    """What became of the rows of one kind."""

    new: int = 0
    changed: int = 0
    same: int = 0
    removed: int = 0
    unbelieved: dict[str, str] = field(default_factory=dict)
    """Positions that were not taken, by technician, each with the reason."""

    @property
    def listed(self) -> int:
        """How many rows there were."""
        return self.new + self.changed + self.same + len(self.unbelieved)

    def add(self, other: "Tally") -> None:
        """Count another's rows in."""
        self.new += other.new
        self.changed += other.changed
        self.same += other.same
        self.removed += other.removed
        self.unbelieved |= other.unbelieved


def write_lines(
    session: Session, judgement: Judgement, source: str | None = None, *, now: datetime | None
) -> dict[str, Tally]:
    """Write all that is good, in the transaction of `session`; return what became of it, by kind.

    `now` judges positions; without it, as in a rehearsal of the past, each is new when it is observed.
    `source` says whose the rows are from now on; None leaves that as it is.
    """
    session.flush()
    tallies = {}
    for entity in ENTITIES.values():
        lines = judgement.lines.get(entity.name)
        if lines is None:
            continue
        tally = tallies[entity.name] = Tally()
        for some in in_chunks(lines):
            if entity.name == "positions":
                _note_records(session, entity, some, source)
                _take_positions(session, some, now, tally)
            else:
                _write(session, entity, some, source, tally)
    if any(tally.new or tally.changed for tally in tallies.values()):
        wake(session, CRM)
    # What the session holds may have been changed beneath it.
    session.expire_all()
    return tallies


def _write(
    session: Session,
    entity: Entity,
    lines: Sequence[Line],
    source: str | None,
    tally: Tally,
) -> None:
    returning = _note_records(session, entity, lines, source)
    wanted = []
    for line in lines:
        given = dict(line.given)
        if line.key in returning and "active" in entity.row.model_fields:
            given.setdefault("active", True)
        wanted.append((line, given))
    if entity.name == "leave":
        _place_in_time(session, wanted)
    table: Table = entity.table.__table__  # type: ignore[attr-defined]
    known = _find_known(session, entity, table, [_match(entity, *one) for one in wanted])
    roles = _find_roles(session, lines) if entity.name == "contacts" else {}
    inserted, updated = [], []
    for line, given in wanted:
        row = known.get(_match(entity, line, given))
        if row is None:
            inserted.append(_new_row(entity, line, given))
            continue
        changed = {n: v for n, v in _columns(entity, line, given).items() if row[n] != v}
        if changed:
            keys = {column.name: row[column.name] for column in table.primary_key}
            updated.append({**keys, **changed})
        is_same = not changed and roles.get(line.key) == _roles_of(line, roles)
        tally.same += is_same
        tally.changed += not is_same
    tally.new += len(inserted)
    if inserted:
        session.execute(insert(table), inserted)
    for some in _by_columns(updated):
        session.execute(update(entity.table), some)
    if entity.name == "contacts":
        _write_roles(session, [line for line in lines if "roles" in line.given])


def _take_positions(
    session: Session, lines: Sequence[Line], now: datetime | None, tally: Tally
) -> None:
    """Take those positions that are believed, as if they had been heard."""
    heard = {}
    for line in lines:
        missing = [name for name in _POSITION if name not in line.given]
        if missing:
            tally.unbelieved[line.key] = f"{', '.join(missing)}: this is missing: add it"
        else:
            heard[line.key] = Heard(*(line.given[name] for name in _POSITION))
    for key, verdict in record_positions(session, heard, now).items():
        if not verdict.taken and verdict.reason != KNOWN:
            tally.unbelieved[key] = verdict.reason
        else:
            tally.changed += verdict.taken
            tally.same += not verdict.taken
    session.flush()


def _match(entity: Entity, line: Line, given: Mapping[str, Any]) -> tuple[Any, ...]:
    if len(entity.match) == 1:
        return (line.key,)
    return entity.match_of(_columns(entity, line, {**entity.defaults, **given}))


def _find_known(
    session: Session, entity: Entity, table: Table, matches: Sequence[tuple[Any, ...]]
) -> dict[tuple[Any, ...], Any]:
    columns = [table.c[name] for name in entity.match]
    if len(columns) == 1:
        where = columns[0].in_([match[0] for match in matches])
    else:
        where = tuple_(*columns).in_(matches)
    rows = session.execute(select_columns(table).where(where)).mappings()
    return {tuple(row[name] for name in entity.match): row for row in rows}


def _columns(entity: Entity, line: Line, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given as the table has it."""
    values = {}
    for name, value in given.items():
        column = entity.columns.get(name, name)
        if name == "shifts":
            value = [shift.model_dump() for shift in value]  # noqa: PLW2901  as it is kept
        values[column] = None if value == "" and column in entity.optional else value
    match entity.name:
        case "contacts":
            values.pop("roles", None)
        case "devices":
            values["id"] = line.key
            values.pop("device", None)
        case "leave":
            values.pop("id", None)
            values["key"] = line.key
    return values


def _new_row(entity: Entity, line: Line, given: Mapping[str, Any]) -> dict[str, Any]:
    return {**entity.blank, **_columns(entity, line, {**entity.defaults, **given})}


def _place_in_time(session: Session, wanted: Sequence[tuple[Line, dict[str, Any]]]) -> None:
    """Read times of leave without an offset in the technician's time zone."""
    by_key = {line.key: given for line, given in wanted if "technician" not in given}
    if by_key:
        query = select(Leave.key, Leave.technician_id).where(col(Leave.key).in_(list(by_key)))
        for key, technician in session.exec(query):
            by_key[key or ""]["technician"] = technician
    names = {given["technician"] for _, given in wanted}
    query = select(Technician.id, Technician.timezone).where(col(Technician.id).in_(names))
    zones = dict(session.exec(query).all())
    for _, given in wanted:
        zone = ZoneInfo(zones.get(given["technician"], "UTC"))
        for name in ("starts_at", "ends_at"):
            at = given.get(name)
            if at is not None:
                given[name] = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def _find_roles(session: Session, lines: Sequence[Line]) -> dict[str, set[tuple[str, str]]]:
    roles: dict[str, set[tuple[str, str]]] = {line.key: set() for line in lines}
    query = select(RoleHolder).where(col(RoleHolder.contact_id).in_(list(roles)))
    for one in session.exec(query):
        roles[one.contact_id].add((one.role, one.site_id))
    return roles


def _roles_of(line: Line, known: Mapping[str, set[tuple[str, str]]]) -> set[tuple[str, str]] | None:
    """Return the roles that a contact is to have; where nothing is said of them, those that it has."""
    return set(line.given["roles"]) if "roles" in line.given else known.get(line.key)


def _write_roles(session: Session, lines: Sequence[Line]) -> None:
    keys = [line.key for line in lines]
    session.execute(delete(RoleHolder).where(col(RoleHolder.contact_id).in_(keys)))
    roles = [
        {"contact_id": line.key, "role": role, "site_id": site}
        for line in lines
        for role, site in dict.fromkeys(line.given["roles"])
    ]
    if roles:
        session.execute(insert(RoleHolder), roles)


def _note_records(
    session: Session, entity: Entity, lines: Sequence[Line], source: str | None
) -> set[str]:
    """Take note whose rows these are; return which of them are back after they were removed."""
    keys = [line.key for line in lines]
    query = select(CrmRecord).where(CrmRecord.entity == entity.name)
    records = {
        one.record_id: one for one in session.exec(query.where(col(CrmRecord.record_id).in_(keys)))
    }
    returning = {key for key, one in records.items() if one.removed_at is not None}
    for record in records.values():
        if record.removed_at is not None or (source is not None and record.source != source):
            record.removed_at = None
            record.source = record.source if source is None else source
            session.add(record)
    session.flush()
    if source is not None:
        added = [
            {"entity": entity.name, "record_id": key, "source": source}
            for key in keys
            if key not in records
        ]
        if added:
            session.execute(insert(CrmRecord), added)
    return returning


def remove_missing(
    session: Session,
    entity: Entity,
    source: str,
    listed: Iterable[str],
    now: datetime,
    most: float = MOST_REMOVED,
) -> int:
    """Remove the rows of a source that it lists no more; return how many.

    Raises TooManyMissing where they are more than the share `most` of those that we have.
    """
    query = select(CrmRecord.record_id).where(
        CrmRecord.entity == entity.name,
        CrmRecord.source == source,
        col(CrmRecord.removed_at).is_(None),
    )
    held = set(session.exec(query))
    gone = sorted(held - set(listed))
    if len(gone) > most * len(held):
        raise TooManyMissing(entity.name, len(gone), len(held), most)
    return remove_rows(session, entity, gone, now, source)


def remove_rows(
    session: Session, entity: Entity, keys: Sequence[str], now: datetime, source: str = ""
) -> int:
    """Remove rows: who works for us no more is inactive, roles end, everything else is marked.

    What cases have had to do with them stays. Returns how many rows were removed that were not before.
    """
    count = 0
    for some in in_chunks(keys):
        query = select(CrmRecord).where(
            CrmRecord.entity == entity.name, col(CrmRecord.record_id).in_(some)
        )
        records = {one.record_id: one for one in session.exec(query)}
        fresh = [k for k in some if k not in records or records[k].removed_at is None]
        for key in fresh:
            record = records.get(key) or CrmRecord(entity=entity.name, record_id=key, source=source)
            record.removed_at = now
            session.add(record)
        session.flush()
        _take_out(session, entity, fresh, now)
        count += len(fresh)
    if count:
        wake(session, CRM)
        session.expire_all()
    return count


def _take_out(session: Session, entity: Entity, keys: Sequence[str], now: datetime) -> None:
    match entity.name:
        case "technicians":
            session.execute(
                update(Technician).where(col(Technician.id).in_(keys)).values(is_active=False)
            )
        case "contacts":
            session.execute(
                update(Contact).where(col(Contact.id).in_(keys)).values(is_active=False)
            )
        case "leave":
            session.execute(delete(Leave).where(col(Leave.key).in_(keys), col(Leave.ends_at) > now))
        case "roles":
            for key in keys:
                contact, role, site = key.split("/", 2)
                session.execute(
                    delete(RoleHolder).where(
                        col(RoleHolder.contact_id) == contact,
                        col(RoleHolder.role) == role,
                        col(RoleHolder.site_id) == site,
                    )
                )
        case "exclusions":
            for key in keys:
                technician, _, customer = key.partition("/")
                session.execute(
                    delete(Exclusion).where(
                        col(Exclusion.technician_id) == technician,
                        col(Exclusion.customer_id) == customer,
                    )
                )


def _by_columns(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Group rows that change the same columns: they are one statement."""
    groups: dict[frozenset[str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(frozenset(row), []).append(row)
    yield from groups.values()
