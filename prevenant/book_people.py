"""Whether there is somebody for everything that a book's workflows and schedules ask of people."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import inspect, make_url
from sqlmodel import Session, col, select

from prevenant.book import Book
from prevenant.book_advice import in_order, problem_at
from prevenant.crm.importing import import_folder
from prevenant.crm.tables import Contact, RoleHolder, Technician
from prevenant.document import nearest_word, suggest
from prevenant.errors import Problem, StoreUnavailable
from prevenant.store import Store
from workflows.checking import RoleUse, SkillUse
from workflows.on_call import Schedule
from workflows.recipients import ON_CALL


@dataclass(frozen=True, slots=True)
class People:
    """Who can be told something, which roles they have, and the highest level of each skill."""

    contacts: frozenset[str]
    roles: frozenset[str]
    skills: Mapping[str, int]


def advise_on_people(book: Book, people: People) -> list[Problem]:
    """Return warnings of roles that nobody has, skills that nobody has learned, strangers on call."""
    found = [
        one for schedule in book.schedules.values() for one in _advise_on_call(schedule, people)
    ]
    for use in book.uses:
        match use:
            # Who is on call is said by the book itself.
            case RoleUse() if use.role not in people.roles and not use.role.startswith(ON_CALL):
                hint = suggest(use.role, sorted(people.roles))
                words = f"nobody has the role {use.role!r}, so nobody is told: {hint}"
                found.append(problem_at(use.place, words))
            case SkillUse() if people.skills.get(use.skill, 0) < use.level:
                best = people.skills.get(use.skill, 0)
                learned = f"only {best} has been learned" if best else "nobody has learned it"
                words = f"nobody can be sent for {use.skill} >= {use.level}: {learned}"
                found.append(problem_at(use.place, words))
            case _:
                pass
    return in_order(found)


def _advise_on_call(schedule: Schedule, people: People) -> Iterator[Problem]:
    """Yield a warning of each person of a schedule who is not there."""
    place = schedule.place
    named = dict.fromkeys(person for layer in schedule.layers for person in layer.people)
    for person in named:
        if person not in people.contacts and place is not None:
            hint = nearest_word(person, people.contacts)
            message = (
                f"on_call {schedule.name!r}: the CRM has no contact {person!r}, so nobody is told "
                f"while it is their turn: {hint or 'import the contact, or name another'}"
            )
            yield Problem(place.source, place.line, place.column, message)


def people_in_folder(folder: Path) -> People:
    """Return who stands in a folder of CSV files. Raises CrmImportError."""
    with TemporaryDirectory(prefix="prevenant-people-") as scratch:
        store = Store(f"sqlite:///{Path(scratch) / 'people.db'}", is_durable=False)
        try:
            store.upgrade()
            with store.write() as session:
                import_folder(session, folder)
            with store.read() as session:
                return _read(session)
        finally:
            store.close()


def people_in_store(url: str) -> People | None:
    """Return who stands in a database; None where there is none yet, or nobody in it."""
    with _existing(url) as store:
        if store is None:
            return None
        try:
            with store.read() as session:
                if not inspect(session.connection()).has_table(str(Technician.__tablename__)):
                    return None
                return known_people(session)
        except StoreUnavailable:
            return None


def known_people(session: Session) -> People | None:
    """Return who stands in the store; None where nobody does."""
    people = _read(session)
    return people if people.contacts else None


@contextmanager
def _existing(url: str) -> Iterator[Store | None]:
    """Open a store; a SQLite file that is not there is not made."""
    parsed = make_url(url)
    is_missing = parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file()
    store = None if is_missing else Store(url)
    try:
        yield store
    finally:
        if store is not None:
            store.close()


def _read(session: Session) -> People:
    skills: dict[str, int] = {}
    learned: Sequence[Mapping[str, int]] = session.exec(
        select(Technician.skills).where(Technician.is_active)
    ).all()
    for one in learned:
        for skill, level in one.items():
            skills[skill] = max(level, skills.get(skill, 0))
    contacts = select(Contact.id).where(Contact.is_active)
    held = select(RoleHolder.role).join(Contact, col(RoleHolder.contact_id) == Contact.id)
    roles = session.exec(held.where(Contact.is_active).distinct())
    return People(frozenset(session.exec(contacts)), frozenset(roles), skills)
