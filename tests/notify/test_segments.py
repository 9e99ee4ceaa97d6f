"""What an SMS takes is known before it is sent, and a text that is too long is shortened at a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.segments import GSM, MAX_SEGMENTS, UCS2, count_segments, fit_text, measure

LINK = "https://prevenant.example/c/7"


@pytest.mark.parametrize(
    ("text", "segments", "encoding"),
    [
        ("", 1, GSM),
        ("a" * 160, 1, GSM),
        ("a" * 161, 2, GSM),
        ("a" * 306, 2, GSM),
        ("a" * 307, 3, GSM),
        ("€" * 80, 1, GSM),
        ("€" * 81, 2, GSM),
        # 152 and then one that counts twice: it does not fit into the first segment any more.
        ("a" * 152 + "€" + "a" * 152, 3, GSM),
        ("é" * 160, 1, GSM),
        ("ê" * 70, 1, UCS2),
        ("ê" * 71, 2, UCS2),
        ("🚪" * 35, 1, UCS2),
        ("🚪" * 36, 2, UCS2),
        # 66 units, and a pair that is not divided.
        ("ê" * 66 + "🚪" + "ê" * 66, 3, UCS2),
    ],
)
def test_segments_and_encoding(text: str, segments: int, encoding: str) -> None:
    size = measure(text)
    assert (size.segments, size.encoding) == (segments, encoding)


def test_what_fits_is_left_alone() -> None:
    assert fit_text("Door 14 is open.", LINK) == fit_text("Door 14 is open.")
    assert fit_text("Door 14 is open.").left_out == 0


def test_a_long_text_ends_at_a_word_with_the_link_that_is_given() -> None:
    words = " ".join(f"word{number}" for number in range(400))
    bare, linked = fit_text(words, at_most=2), fit_text(words, LINK, at_most=2)
    assert bare.text.endswith("...")
    assert "http" not in bare.text
    assert linked.text.endswith(f"... {LINK}")
    kept = bare.text.removesuffix("...")
    assert words.startswith(kept + " ")
    assert bare.left_out == len(words) - len(kept)


def test_a_word_without_end_is_cut_all_the_same() -> None:
    assert fit_text("x" * 5_000, at_most=1).text == "x" * 157 + "..."


@given(st.text(max_size=3_000), st.sampled_from(["", LINK]), st.integers(1, MAX_SEGMENTS))
def test_whatever_is_said_fits_and_begins_as_it_was_written(
    text: str, link: str, at_most: int
) -> None:
    fitted = fit_text(text, link, at_most)
    assert count_segments(fitted.text) <= at_most
    if fitted.left_out:
        end = f"... {link}" if link else "..."
        assert fitted.text == text[: len(text) - fitted.left_out] + end
    else:
        assert fitted.text == text
