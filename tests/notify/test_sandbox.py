"""What a template may make of its values: nothing without end, and all that people are told."""

from typing import Any

import pytest

from notify.templating import WORDING_ERRORS, Templates
from notify.trial import Trial

MUCH = 10**9
VALUES: dict[str, Any] = {"label": "Gate", "count": 50_000, "list": ["a", "b"], "value": 8.04}


@pytest.mark.parametrize(
    "text",
    [
        "'a' * 10**9",
        "10**9 * 'a'",
        "label * 1000000000",
        "[label] * 1000000000",
        "10 ** 10000000",
        "10 ** 300 ** 300",
        "range(1000000000)|list",
        "range(100000)|length",
        "label|center(1000000000)",
        "label|indent(1000000000)",
        "label|wordwrap(1000000000)",
        "list|batch(1000000000, 'x')|list",
        "list|slice(1000000000)|list",
        "list|tojson(indent=1000000000)",
        "value|round(1000000000, 'ceil')",
        "label.center(1000000000)",
        "label.ljust(1000000000)",
        "label.rjust(width)",
        "'7'.zfill(1000000000)",
        "'\t'.expandtabs(1000000000)",
        "(7).to_bytes(1000000000, 'big')",
        "'%1000000000d' % 7",
        "'%.1000000000f' % 7",
        "'%(count)1000000000d' % {'count': 7}",
        "'%*d' % (1000000000, 7)",
        "'%1000000000d'|format(7)",
        "'{:1000000000}'.format(7)",
        "'{:{w}}'.format(7, w=1000000000)",
        "'{:>1000000000}'.format_map({'x': 7})",
        "('a' * 9000).replace('a', 'b' * 9000)",
        "('a' * 9000)|replace('a', 'b' * 9000)",
        "('a' * 9000).join('b' * 9000)",
        "('b' * 9000)|join('a' * 9000)",
        "('b' * 15000) + ('a' * 15000)",
        "lipsum(1000000000)",
    ],
)
def test_what_would_make_too_much_is_refused_in_one_line(text: str) -> None:
    source, values = f"{{{{ {text} }}}}", {**VALUES, "width": MUCH}
    with pytest.raises(WORDING_ERRORS):
        Templates().render_text(source, "en", values)
    (flaw,) = Trial(Templates()).word_text(source, "en", values)
    assert str(flaw)
    assert len(str(flaw).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("'-' * 20", "-" * 20),
        ("2 ** 10 * 60", "61440"),
        ("count + 50000", "100000"),
        ("count * 50000", "2500000000"),
        ("count|round|int", "50000"),
        ("count|tojson", "50000"),
        ("'{:,}'.format(count)", "50,000"),
        ("'{{{:>6}}}'.format(7)", "{     7}"),
        ("'%05.1f %%' % value", "008.0 %"),
        ("'%5d of 100000'|format(count)", "50000 of 100000"),
        ("label|center(8)", "Gate"),
        ("label.replace('G', 'L') + '!'", "Late!"),
        ("list|join(', ')", "a, b"),
        ("range(3)|join('-')", "0-1-2"),
        ("range(50000, 50003)|sum", "150003"),
    ],
)
def test_what_people_write_is_said(text: str, said: str) -> None:
    assert Templates().render_text(f"{{{{ {text} }}}}", "en", VALUES) == said
