"""Who a text or a call comes from, by the country that it goes to: `FR=+33939980000, GB=Prevenant`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
"""A sender of letters: carriers take eleven characters, of which one is a letter."""


@dataclass(frozen=True, slots=True)
class Senders:
    """The sender for each country, and the one for all others."""

    default: str
    by_country: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, default: str, text: str) -> Self:
        """Read `FR=+33…, GB=Name`. Raises ValueError with what to write instead."""
        from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415  commands begin sooner without it

        found: dict[str, str] = {}
        for part in filter(None, (one.strip() for one in text.split(","))):
            country, _, sender = (one.strip() for one in part.partition("="))
            if country not in SUPPORTED_REGIONS:
                message = f"{country!r} is no country: write its two letters, as in FR=+33939980000"
                raise ValueError(message)
            if country in found:
                message = f"{country} has two senders: write one"
                raise ValueError(message)
            if not _NUMBER.fullmatch(sender) and not _NAME.fullmatch(sender):
                message = (
                    f"the sender of {country} is neither a number in the form +33… nor a name of "
                    "at most eleven letters and digits"
                )
                raise ValueError(message)
            found[country] = sender
        return cls(default, found)

    def for_text(self, number: str) -> str:
        """Return who writes to a number."""
        return self.by_country.get(country_of(number), self.default)

    def for_call(self, number: str) -> str:
        """Return who calls a number: a name cannot."""
        sender = self.for_text(number)
        return sender if sender.startswith("+") else self.default


def country_of(number: str) -> str:
    """Return the two letters of a number's country; nothing where it has none."""
    import phonenumbers  # noqa: PLC0415  as above

    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ""
    # What shares a country's code, or is in no list yet, counts as of the main country of that code.
    main = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
    found = phonenumbers.region_code_for_number(parsed) or main
    return found if found in phonenumbers.SUPPORTED_REGIONS else ""
