"""Adopting a device: one that was heard, and that the CRM does not know, gets its site and its label."""

import difflib

from sqlmodel import Session, select

from prevenant.crm.tables import Device, Site
from prevenant.errors import ConfigurationError


def adopt_device(
    session: Session, device_id: str, type_name: str, site_id: str, label: str = "", place: str = ""
) -> Device:
    """Make the device known, or give it another site, label or place. Raises ConfigurationError."""
    if session.get(Site, site_id) is None:
        known = list(session.exec(select(Site.id)))
        close = difflib.get_close_matches(site_id, known, 1)
        hint = (
            f"did you mean {close[0]!r}?"
            if close
            else "import it first with `prevenant crm import`"
        )
        message = f"the CRM has no site {site_id!r}: {hint}"
        raise ConfigurationError(message)
    device = session.get(Device, device_id)
    if device is None:
        name = label or device_id.rpartition("/")[2]
        device = Device(id=device_id, site_id=site_id, type=type_name, label=name, place=place)
    else:
        device.site_id, device.type = site_id, type_name
        device.label, device.place = label or device.label, place or device.place
    session.add(device)
    session.flush()
    return device
