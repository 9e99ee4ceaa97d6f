"""What Twilio's codes lead to, and who sends to which number."""

from datetime import UTC, datetime

import pytest

from notify.http_answers import retry_after_s
from notify.numbers import dialled
from notify.twilio_codes import CODES, Verdict, judge_code
from prevenant.errors import OptedOut, Refused, Throttled, Unusable, WrongAddress
from prevenant.senders import Senders, country_of


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (20429, Throttled),
        ("30001", Throttled),
        (21606, Unusable),
        (30003, Refused),
        (63016, Refused),
        (21211, WrongAddress),
        (30005, WrongAddress),
        (21610, OptedOut),
        (63033, OptedOut),
        (99999, Refused),
        (None, Refused),
    ],
)
def test_each_code_leads_to_what_it_means(code: int | str | None, error: type) -> None:
    judged = judge_code(code, "as the provider puts it")
    assert type(judged) is error
    if code is not None:
        assert str(code) in f"{judged.reason} {judged.code}"


def test_every_verdict_has_codes_and_no_reason_looks_like_a_number_to_hide() -> None:
    assert {verdict for verdict, _ in CODES.values()} == set(Verdict)
    for code in CODES:
        assert "hidden" not in judge_code(code).reason


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("0639980041", "country"),
        ("+3363998", "too short"),
        ("+336399800411234", "too long"),
        ("+999123456789", "country"),
        ("", "country"),
        ("camille", "country"),
    ],
)
def test_a_wrong_number_is_one_clear_reason(number: str, why: str) -> None:
    with pytest.raises(WrongAddress, match=f"wrong address: .*{why}"):
        dialled(number)


def test_a_number_is_dialled_in_one_form() -> None:
    assert dialled("+33 6 39 98 00 41") == "+33639980041"


def test_the_sender_goes_by_the_country_and_a_name_calls_nobody() -> None:
    senders = Senders.parse("+33939980000", "US=+15005550006, GB=Prevenant")
    assert senders.for_text("+33639980041") == "+33939980000"
    assert senders.for_text("+12025550143") == "+15005550006"
    assert senders.for_text("+16135550143") == "+33939980000", "Canada shares +1 and is not the US"
    assert senders.for_text("+447700900123") == "Prevenant"
    assert senders.for_call("+447700900123") == "+33939980000"
    assert country_of("no number") == ""


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("XX=+33939980000", "no country"),
        ("FR=+33939980000, FR=+33939980001", "two senders"),
        ("FR=0639980000", "neither a number"),
        ("GB=A name that is long", "neither a number"),
        ("FR", "neither a number"),
    ],
)
def test_senders_that_cannot_be_used_are_refused_with_the_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        Senders.parse("", text)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"retry-after": " 7 "}, 7.0),
        (
            {
                "Date": "Mon, 04 May 2026 08:00:00 GMT",
                "Retry-After": "Mon, 04 May 2026 08:01:00 GMT",
            },
            60.0,
        ),
        (
            {
                "Date": "Mon, 04 May 2026 08:00:00 GMT",
                "Retry-After": "Mon, 04 May 2026 07:00:00 GMT",
            },
            None,
        ),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "Mon, 04 May 2026 08:01:00 GMT"}, 90.0),
        ({"Date": "?", "Retry-After": "Mon, 04 May 2026 08:01:00 GMT"}, 90.0),
        ({"Retry-After": "Mon, 04 May 2026 07:00:00 GMT"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_a_providers_advice_is_read_in_either_form(
    headers: dict[str, str], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = datetime(2026, 5, 4, 7, 59, 30, tzinfo=UTC)
    monkeypatch.setattr("notify.http_answers.wall_time", lambda: wall)
    assert retry_after_s(headers) == seconds
