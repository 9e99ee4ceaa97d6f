"""What arrives from people by any channel: who it is from, what it says, and to which case it goes."""

from dataclasses import replace

from fastapi import Request

from notify.replies import Inbound, read_meaning, receive
from notify.visible import whole_text
from prevenant.crm.directory import find_contacts_at


def record_reply(request: Request, inbound: Inbound) -> None:
    """Record a reply.

    It is read before the transaction: the first one that has to be weighed takes a second.
    """
    state = request.app.state
    inbound = replace(
        inbound,
        provider_id=whole_text(inbound.provider_id),
        address=whole_text(inbound.address),
        text=whole_text(inbound.text),
    )
    meaning = read_meaning(inbound.text)
    with state.store.write() as session:
        contacts = find_contacts_at(session, inbound.channel, inbound.address)
        inbound = replace(inbound, contacts=contacts)
        receive(session, state.templates, inbound, state.clock.now(), meaning=meaning)
