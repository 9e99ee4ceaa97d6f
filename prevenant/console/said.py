"""What the engine says in English of its own accord and a page says in its reader's language.

Figures of models and the progress of long work are written down in English by whoever does the work;
what is not known here stays as it is.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Said(NamedTuple):
    """What is said in a language: whole sentences, and those that name numbers."""

    whole: Mapping[str, str]
    numbered: Mapping[str, str]
    """By the sentence with # for each number."""


def _(text: str) -> str:
    """Mark what has to be translated."""
    return text


_FIGURES = (
    _("failures caught"),
    _(
        "the part of the failures before which somebody was called in time: not too "
        "early, not too late"
    ),
    _("premature call-outs"),
    _("premature call-outs per 1,000 cycles"),
    _("premature call-outs per 1,000 device-days"),
    _("calls with no failure soon after them, in 1,000 cycles or device-days"),
    _("median lead time"),
    _("how long before a failure that was caught its call came"),
    _("called too late"),
    _("failures whose only call left no time for a visit"),
    _("failures judged"),
    _("failures with rows so close before them that a call could catch them"),
    _("RMSE"),
    _("root mean square error of remaining life, capped where nothing is told apart any more"),
    _("RMSE's spread"),
    _("standard deviation of the devices' own RMSE"),
    _("mean error"),
    _("mean absolute error of remaining life"),
    _("RMSE at the end"),
    _("the same over each device's last row alone"),
    _("NASA score"),
    _("mean of exp(d/13)-1 for predictions too low by d cycles, exp(d/10)-1 for those too high"),
    _("within the interval"),
    _("how often the truth lay between low and high; 90 % is meant"),
    _("average precision"),
    _("area under the curve of precision over recall; 1 is all"),
    _("F1"),
    _("harmonic mean of precision and recall, at the best threshold"),
    _("precision"),
    _("at that threshold: of the rows called, how many failed"),
    _("recall"),
    _("at that threshold: of the rows that failed, how many were called"),
    _("recall at 95 % precision"),
    _("recall where at most one call in twenty is false"),
    _("Brier score"),
    _("mean squared error of the probability; 0 is all right"),
    _("not known from this data"),
)
_LEAKS = (
    _(
        "by itself it tells nearly perfectly what is to be predicted, as a copy of the label does, "
        "or what is known once a device has failed: unless it is known before, leave it out of "
        "`features`, and train again"
    ),
    _(
        "it is set in rows of failures alone, as a cause is that is noted afterwards: unless it is known "
        "before, leave it out of `features`, and train again"
    ),
)
_PROGRESS = (
    _("reading the model"),
    _("reading the data"),
    _("learning"),
    _("learning from everything"),
    _("trained"),
    _("asking the model"),
    _("running the tests"),
    _("comparing"),
    _("reading the journal by the book before"),
    _("reading the journal by the changed book"),
    _("following the cases of the book before"),
    _("following the cases of the changed book"),
)
_NUMBERED = {
    "fold # of #": _("fold %(first)s of %(second)s"),
    "reading the data for version #": _("reading the data for version %(first)s"),
    "judging version #": _("judging version %(first)s"),
}


def name_said(words: Callable[[str], str]) -> Said:
    """Return the sentences in the language of `words`."""
    whole = {text: words(text) for text in (*_FIGURES, *_LEAKS, *_PROGRESS)}
    return Said(whole, {pattern: words(text) for pattern, text in _NUMBERED.items()})


def translate(text: str, said: Said) -> str:
    """Return a sentence of the engine in a page's language, or as it is."""
    if text in said.whole:
        return said.whole[text]
    found = said.numbered.get(re.sub(r"\d+", "#", text))
    numbers = re.findall(r"\d+", text)
    return found % dict(zip(("first", "second"), numbers, strict=False)) if found else text
