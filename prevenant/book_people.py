"""Whether there is somebody for everything that a book's workflows ask of people."""

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
from prevenant.document import suggest
from prevenant.errors import Problem, StoreUnavailable
from prevenant.store import Store
from workflows.checking import RoleUse, SkillUse
from workflows.recipients import ON_CALL


@dataclass(frozen=True, slots=True)
class People:
    """Which roles somebody has, and the highest level of each skill."""

    roles: frozenset[str]
    skills: Mapping[str, int]


def advise_on_people(book: Book, people: People) -> list[Problem]:
    """Return warnings of roles that nobody has, and of skills that nobody has learned."""
    found = []
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
                people = _read(session)
        except StoreUnavailable:
            return None
    return people if people.roles or people.skills else None


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
        select(Technician.skills)
        .where(Technician.contact_id == Contact.id)
        .where(col(Technician.is_active), col(Contact.is_active))
    ).all()
    for one in learned:
        for skill, level in one.items():
            skills[skill] = max(level, skills.get(skill, 0))
    roles = select(RoleHolder.role).where(RoleHolder.contact_id == Contact.id)
    held = session.exec(roles.where(col(Contact.is_active)).distinct())
    return People(frozenset(held), skills)
