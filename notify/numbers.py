"""Telephone numbers as they are dialled, judged before anything is handed over."""

import re

import phonenumbers

from prevenant.errors import WrongAddress

_FLAWS = {
    phonenumbers.ValidationResult.TOO_SHORT: "it is too short",
    phonenumbers.ValidationResult.TOO_LONG: "it is too long",
    phonenumbers.ValidationResult.INVALID_COUNTRY_CODE: "there is no such country code",
    phonenumbers.ValidationResult.INVALID_LENGTH: "no number there is as long",
    phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "it lacks the area code",
}


def dialled(number: str) -> str:
    """Return a number in E.164. Raises WrongAddress where none can be reached under it.

    Only its form is judged: new ranges come faster than their lists, and the carrier knows the rest.
    """
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        reason = "it is not written with its country, as in +33…"
        raise WrongAddress(reason) from None
    flaw = _FLAWS.get(phonenumbers.is_possible_number_with_reason(parsed))
    if flaw is not None:
        raise WrongAddress(flaw)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def read_number(text: str) -> str:
    """Return in E.164 a number as providers name it: `33639…`, `0033639…`, `+33 6 39…`; else nothing."""
    digits = re.sub(r"[\s().-]", "", text)
    international = digits.removeprefix("+").removeprefix("00")
    try:
        return dialled(f"+{international}") if international.isdecimal() else ""
    except WrongAddress:
        return ""
