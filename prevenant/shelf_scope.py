"""Whether what a shelf names is known: one over anything else keeps nothing, and looks as if it did."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlmodel import Session, col, select

from ingest.registry import HeardDevice
from prevenant.crm.tables import Device, Site
from prevenant.document import nearest_word
from prevenant.errors import BookError, ConfigurationError
from prevenant.publishing import find_active
from prevenant.tables import Alarm

_MOST_COMPARED = 5_000
"""To how many names one is compared where the nearest is looked for."""
_SHOWN = 3
NO_BOOK = "no rule book is published, so that nobody can tell whether it has this rule"


def check_scope(session: Session, rule: str, device: str, site: str) -> str:
    """Refuse a rule, a device or a site of which nobody has heard; return what could not be checked.

    Devices are known as soon as they have spoken, or by the CRM; sites by either, too. Raises
    ConfigurationError with every name that is not known, and the nearest that are.
    """
    wrong = []
    if device and not _is_device(session, device):
        wrong.append(_unknown_device(session, device))
    if site and not _is_site(session, site):
        near = _nearest(site, _sites(session))
        hint = near or "see `prevenant crm show sites` and `prevenant devices list`"
        wrong.append(
            f"no device at a site {site!r} was heard, and the CRM has no such site: {hint}"
        )
    unknown, unchecked = _check_rule(session, rule) if rule else ("", "")
    wrong += [unknown] if unknown else []
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return unchecked


def _check_rule(session: Session, name: str) -> tuple[str, str]:
    """Return what is wrong with the name of a rule, and what could not be checked."""
    if _any(session, Alarm.rule, name):
        return "", ""
    version = find_active(session)
    if version is None:
        return "", NO_BOOK
    try:
        known = version.load().rules.rules
    except BookError:
        return "", "the published rule book can no longer be read"
    if name in known:
        return "", ""
    hint = nearest_word(name, known, _SHOWN) or "see `prevenant rules show`"
    return f"the rule book has no rule {name!r}: {hint}", ""


def _is_device(session: Session, name: str) -> bool:
    return any(
        _any(session, column, name) for column in (HeardDevice.id, Device.id, Alarm.device_id)
    )


def _is_site(session: Session, name: str) -> bool:
    columns = (Site.id, HeardDevice.site_id, Device.site_id, Alarm.site_id)
    return any(_any(session, column, name) for column in columns)


def _any(session: Session, column: Any, value: str) -> bool:
    return session.exec(select(column).where(col(column) == value).limit(1)).first() is not None


def _unknown_device(session: Session, name: str) -> str:
    """Say that a device is not known, and which is near: first one of the same site."""
    site = name.partition("/")[0]
    here = _names(session, (HeardDevice, Device), site)
    near = _nearest(name, here) or _nearest(name, _names(session, (HeardDevice, Device)))
    hint = near or "write it as SITE/DEVICE, as `prevenant devices list` does"
    return f"no device {name!r} was heard, and the CRM has none: {hint}"


def _nearest(name: str, known: Collection[str]) -> str:
    """Return which names are near: written in other letters, or without the site, before all others."""
    folded = name.casefold()
    same = [one for one in known if folded in {one.casefold(), one.casefold().rpartition("/")[2]}]
    return nearest_word(name, known, _SHOWN) if not same else f"did you mean {same[0]!r}?"


def _sites(session: Session) -> list[str]:
    found: set[str] = set()
    for column in (Site.id, HeardDevice.site_id, Device.site_id):
        found |= set(session.exec(select(column).distinct().limit(_MOST_COMPARED)))
    return sorted(found)


def _names(session: Session, tables: Iterable[Any], site: str = "") -> list[str]:
    """Return the names of devices, perhaps only those at a site."""
    found: set[str] = set()
    for table in tables:
        query = select(table.id).order_by(table.id).limit(_MOST_COMPARED)
        found |= set(session.exec(query.where(table.site_id == site) if site else query))
    return sorted(found)
