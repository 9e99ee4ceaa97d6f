"""Whom a step means: the customer, the site's contact, the technician, or those who have a role."""

from prevenant.crm.directory import (
    Person,
    find_customer,
    find_role_holders,
    find_role_positions,
)
from prevenant.globe import distance_km
from workflows.on_call import who_is_on_call
from workflows.running import RunningCase

PEOPLE = ("customer", "site-contact", "technician")
"""Who is no role."""
ON_CALL = "on-call:"
"""What stands before the name of a schedule."""


def people_of(run: RunningCase, whom: str) -> list[Person]:
    """Return whom a step tells, asks or escalates to; nobody is no error."""
    place = run.place
    match whom:
        case "customer":
            person = place.customer or find_customer(run.session, place.customer_id)
        case "site-contact":
            person = place.customer
        case "technician":
            person = run.technician()
        case _ if whom.startswith(ON_CALL):
            return on_call(run, whom)
        case _:
            return find_role_holders(run.session, whom, place.site_id)
    return [person] if person else []


def on_call(run: RunningCase, whom: str) -> list[Person]:
    """Return who is on call for `on-call:NAME`, and note why."""
    name = whom.removeprefix(ON_CALL)
    schedule = run.schedules.get(name)
    if schedule is None:
        run.note("on_call.nobody", f"the book in force has no schedule {name!r}")
        return []
    person, reason = who_is_on_call(run.session, schedule, run.now)
    run.note("on_call" if person else "on_call.nobody", reason, {"schedule": name})
    return [person] if person else []


def nearest_of(run: RunningCase, role: str, count: int) -> list[Person]:
    """Return the `count` nearest holders of a role, wherever they have it.

    Those whose position is not known come last, and so does everybody where the device's is not.
    """
    here = run.place.position
    holders = find_role_positions(run.session, role)
    if here is None:
        at_site = {
            one.contact_id for one in find_role_holders(run.session, role, run.place.site_id)
        }
        ranked = sorted(holders, key=lambda one: one[0].contact_id not in at_site)
        return [person for person, _ in ranked[:count]]
    far = float("inf")

    def distance(positions: list[tuple[float, float]]) -> float:
        return min((distance_km(here, one) for one in positions), default=far)

    ranked = sorted(holders, key=lambda one: (distance(one[1]), one[0].contact_id))
    return [person for person, _ in ranked[:count]]
