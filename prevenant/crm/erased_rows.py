"""Rows of people and homes that were erased: they are known again by digests, and not taken."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlmodel import Session, col, select

from prevenant.crm.entities import Entity
from prevenant.crm.tables import Erasure
from prevenant.store import in_chunks

_PERSON, _HOME, _NAMED = "this person", "this home", "a person or a home that this row names"
_WHAT = {"contacts": _PERSON, "technicians": _PERSON, "customers": _HOME, "sites": _HOME}


def digest_of(kind: str, text: str) -> str:
    """Return what is kept of what was erased: a row can be compared with it, not read from it."""
    return sha256(f"{kind}:{text}".encode()).hexdigest()


def digests_of(entity: Entity, key: str, values: Mapping[str, Any]) -> set[str]:
    """Return the digests of a row and of everything that its cells name, judged or as they came."""
    named = {digest_of(entity.name, key)}
    for column, target in entity.references.items():
        if values.get(column) is not None:
            named.add(digest_of(target, str(values[column]).strip()))
    return named


def find_erased(
    session: Session, entity: Entity, rows: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Return why rows are not taken that are, or name, what was erased; by their keys."""
    if not rows or session.exec(select(Erasure.digest).limit(1)).first() is None:
        return {}
    digests = {key: digests_of(entity, key, values) for key, values in rows.items()}
    erased: dict[str, datetime] = {}
    for some in in_chunks(sorted(set[str]().union(*digests.values()))):
        query = select(Erasure.digest, Erasure.erased_at).where(col(Erasure.digest).in_(some))
        erased.update(session.exec(query).all())
    return {
        key: _say(entity, key, {one: erased[one] for one in found})
        for key, mine in digests.items()
        if (found := erased.keys() & mine)
    }


def _say(entity: Entity, key: str, erased: Mapping[str, datetime]) -> str:
    own = digest_of(entity.name, key)
    at = erased.get(own) or min(erased.values())
    what = _WHAT.get(entity.name, _NAMED) if own in erased else _NAMED
    return (
        f"{what} was erased on {at:%Y-%m-%d}: remove the row where it comes from; "
        "who comes back is given another id"
    )
