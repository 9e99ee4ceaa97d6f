"""The store goes away as another version of the rule book comes: its partition waits for it."""

from typing import Any

import pytest

from prevenant.errors import StoreUnavailable
from prevenant.on_kafka import StreamBooks
from prevenant.stream.changing import Version

VERSION = Version(2, "print")


class Switch:
    """Versions in a store that is away for some tries."""

    in_force = VERSION

    def __init__(self, tries: int) -> None:
        self.left = tries

    def find_rules(self, version: Version) -> Version:
        """Return the version itself, in place of its rules."""
        self.left -= 1
        if self.left >= 0:
            message = "the database does not answer"
            raise StoreUnavailable(message)
        return version


def test_a_version_is_waited_for_while_the_store_is_away() -> None:
    switch: Any = Switch(3)
    books = StreamBooks(switch, lambda: False)
    found: Any = books.find_rules(VERSION)
    assert found == VERSION


def test_who_is_to_end_waits_no_longer() -> None:
    switch: Any = Switch(3)
    with pytest.raises(StoreUnavailable):
        StreamBooks(switch, lambda: True).find_rules(VERSION)
    assert switch.left == 2
