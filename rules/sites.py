"""Numbers across the devices of a site: how many are in a state, and what they measure on average."""

from collections import defaultdict

from rules.expression import SiteNumber

_SMALLEST = 1074
"""Every float is a whole multiple of 2 to the power of minus this."""


class SiteNumbers:
    """What each device adds to the numbers of its site.

    Sums are kept exactly, so that they do not depend on the order in which devices were heard.
    """

    def __init__(self) -> None:
        self._shares: dict[tuple[str, SiteNumber], dict[str, float]] = defaultdict(dict)
        self._sums: dict[tuple[str, SiteNumber], int] = defaultdict(int)

    def set_share(self, site: str, number: SiteNumber, device: str, share: float | None) -> bool:
        """Put what `device` adds; None where it adds nothing. Return whether that is news."""
        shares = self._shares[site, number]
        before = shares.get(device)
        if before == share:
            return False
        if before is not None:
            self._sums[site, number] -= _exact(before)
            del shares[device]
        if share is not None:
            self._sums[site, number] += _exact(share)
            shares[device] = share
        return True

    def value(self, site: str, number: SiteNumber) -> float | None:
        """Return the number, or None where no device of the site tells of it."""
        count = len(self._shares[site, number])
        if not count:
            return None
        total = self._sums[site, number]
        if number.function == "count":
            return float(total >> _SMALLEST)
        return total / (count << _SMALLEST)


def _exact(value: float) -> int:
    """Return `value` in units of the smallest float."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (_SMALLEST - denominator.bit_length() + 1)
