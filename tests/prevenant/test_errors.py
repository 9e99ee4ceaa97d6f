"""No phone number or address leaves in a log; what an operator needs to read stays."""

import pytest

from prevenant.errors import mask_addresses


@pytest.mark.parametrize(
    "text",
    ["+33639980001", "to +33 6 39 98 00 01 now", "06.39.98.00.01", "tel.0639980001", "a@b.example"],
)
def test_numbers_and_addresses_are_hidden(text: str) -> None:
    assert "39" not in mask_addresses(text)
    assert "b.example" not in mask_addresses(text)


@pytest.mark.parametrize("text", ['server at "127.0.0.1", port 5432', "HTTP 429", "10.0.12.254:8"])
def test_hosts_and_codes_stay(text: str) -> None:
    assert mask_addresses(text) == text
