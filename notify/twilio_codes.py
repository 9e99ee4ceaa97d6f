"""What Twilio's error codes mean for a delivery.

Source: Twilio's Error and Warning Dictionary, https://www.twilio.com/docs/api/errors (each code has a page
there, under its number). A code that is not listed here is taken for a refusal of this message.
"""

from collections.abc import Mapping
from enum import StrEnum

from prevenant.errors import DeliveryError, OptedOut, Refused, Throttled, Unusable, WrongAddress


class Verdict(StrEnum):
    """What is to be done about a code."""

    RETRY = "retry"
    """Not taken for now: try again, later each time."""
    OURS = "ours"
    """Our account or sender cannot: another provider may, else the next channel does."""
    NEXT = "next channel"
    """This message does not reach this contact by this channel."""
    WRONG = "wrong address"
    """The number does not exist, or is of a kind that cannot be reached so."""
    OPTED_OUT = "opted out"
    """The contact has told the provider to stop: nothing more goes there."""


_RETRY: Mapping[int, str] = {
    10004: "too many calls at once",
    14107: "too many messages at once",
    20429: "too many requests at once",
    21611: "the queue of this sender is full",
    30001: "the queue is full",
    30017: "the carrier's network is congested",
    30022: "the carrier's rate limit is reached",
    63010: "the channel has an error of its own",
    63012: "the channel's provider has an error of its own",
    63017: "the account's rate limit is reached",
    63018: "the channel's rate limit is reached",
}
_OURS: Mapping[int, str] = {
    10001: "the account is not active",
    10002: "a trial account cannot do this",
    10005: "calls are disabled for the account",
    13227: "calls to this country are not enabled in the account",
    20005: "the account is not active",
    20008: "these are test credentials",
    21210: "the sender is not verified",
    21212: "the sender is no valid number",
    21215: "calls to this country are not enabled in the account",
    21216: "the account may not call this number",
    21219: "a trial account calls verified numbers alone",
    21408: "texts to this country are not enabled in the account",
    21601: "the sender belongs to another account",
    21603: "there is no sender: set PREVENANT_TWILIO_FROM",
    21606: "the sender cannot write to this country: see PREVENANT_TWILIO_SENDERS",
    21608: "a trial account writes to verified numbers alone",
    21612: "this sender cannot reach this carrier: see PREVENANT_TWILIO_SENDERS",
    21656: "the template's variables do not fit: check PREVENANT_TWILIO_WHATSAPP_TEMPLATE",
    21659: "the sender is none of Twilio's numbers",
    21660: "the sender belongs to another account",
    21661: "the sender cannot send texts",
    21703: "the messaging service has no sender",
    30002: "the account is suspended",
    30018: "this country wants the sender registered first",
    30023: "the daily limit of the campaign is reached",
    30024: "the sender is not provisioned at this carrier",
    30032: "the toll-free sender is not verified",
    30034: "the sender is not registered for the United States",
    63001: "the channel refuses our credentials",
    63007: "the channel does not know the sender: check PREVENANT_TWILIO_WHATSAPP_FROM",
    63020: "the channel's business account is not accepted",
    63038: "the account's daily limit is reached",
}
_ONE_DESTINATION = frozenset({13227, 21215, 21216, 21219, 21408, 21606, 21608, 21612, 30018, 30034})
"""Of these, those that say nothing of texts and calls to elsewhere."""
_NEXT: Mapping[int, str] = {
    21214: "the number cannot be called",
    21602: "the text is empty",
    21605: "the text is too long",
    21617: "the text is longer than 1600 characters",
    30003: "the phone is off or out of reach",
    30004: "the carrier has blocked it",
    30007: "the carrier has filtered it",
    30008: "the carrier gives no reason",
    30010: "it costs more than allowed",
    30036: "it waited for too long at the provider",
    30410: "the carrier did not answer in time",
    63005: "the channel does not take this content",
    63013: "the channel's rules forbid it",
    63015: "the phone has not joined the sandbox",
    63016: "the contact has not written for 24 hours, and no template is set",
    63021: "the channel does not take this content",
    63032: "the channel does not reach this contact at present",
    63049: "the channel chose not to deliver it",
}
_WRONG: Mapping[int, str] = {
    13224: "the number cannot be called",
    21211: "there is no such number",
    21217: "there is no such number",
    21401: "there is no such number",
    21604: "there is no number",
    21614: "it is no mobile number",
    21635: "it is a landline, which takes no texts",
    30005: "no phone is known under it",
    30006: "it is a landline, or its carrier takes no texts",
    63003: "nobody is known under it on this channel",
    63024: "nobody is known under it on this channel",
}
_OPTED_OUT: Mapping[int, str] = {
    21610: "the contact has told the carrier to stop",
    63014: "the contact has blocked the sender",
    63033: "the contact has unsubscribed from the sender",
}
CODES: Mapping[int, tuple[Verdict, str]] = {
    code: (verdict, meaning)
    for verdict, meanings in (
        (Verdict.RETRY, _RETRY),
        (Verdict.OURS, _OURS),
        (Verdict.NEXT, _NEXT),
        (Verdict.WRONG, _WRONG),
        (Verdict.OPTED_OUT, _OPTED_OUT),
    )
    for code, meaning in meanings.items()
}
"""By code: what is to be done, and what it means in our words."""


def judge_code(code: int | str | None, words: str = "") -> DeliveryError:
    """Return the error that a code stands for. `words` are Twilio's own, for codes that are not listed."""
    known = CODES.get(int(code)) if code is not None and str(code).isdigit() else None
    name = str(code) if code else None
    if known is None:
        return Refused(f"Twilio refuses it: {words or 'without a reason'}", name)
    verdict, meaning = known
    if code is not None and int(code) in _ONE_DESTINATION:
        return Unusable(f"{meaning} (Twilio {code})", name, is_general=False)
    return _ERRORS[verdict](f"{meaning} (Twilio {code})", name)


_ERRORS: Mapping[Verdict, type[DeliveryError]] = {
    Verdict.RETRY: Throttled,
    Verdict.OURS: Unusable,
    Verdict.NEXT: Refused,
    Verdict.WRONG: WrongAddress,
    Verdict.OPTED_OUT: OptedOut,
}
