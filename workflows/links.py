"""The links in messages: a customer's page of the visit, a technician's page of the job.

Each message has a link of its own, made in the transaction that queues it; it opens one case to one
person.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from notify import JOB, VISIT, LinkFor, issue_link, link_url
from prevenant.crm.directory import Person

if TYPE_CHECKING:
    from workflows.running import RunningCase

CUSTOMER_ROLES = frozenset({"customer", "site-contact"})
_TECHNICIAN = "technician"
_LINK = "link"
LIVES = {VISIT: timedelta(days=30), JOB: timedelta(days=14)}
"""A visit can be moved two weeks ahead, and is rated after it."""


def purpose_for(role: str) -> str:
    """Return what a link is for that somebody is sent in this role; nothing where none is due."""
    if role in CUSTOMER_ROLES:
        return VISIT
    return JOB if role == _TECHNICIAN else ""


def link_with(run: "RunningCase", person: Person, role: str, template: str) -> str:
    """Return the address of a new link for a message; nothing where it says none, or none is due."""
    # Who checks a rule book waits for no search of the nearest.
    from workflows.office import office_of  # noqa: PLC0415

    purpose, public_url = purpose_for(role), office_of(run.session).public_url
    if not purpose or not public_url or run.case.storm_of:
        return ""
    if not run.templates.uses(template, _LINK):
        return ""
    wanted = LinkFor(purpose, person.contact_id, LIVES[purpose], run.case.id)
    return link_url(public_url, issue_link(run.session, wanted, run.now), purpose)
