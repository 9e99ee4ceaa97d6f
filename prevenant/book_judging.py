"""What is wrong with the texts of a rule book, else what is doubtful in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from prevenant.book_advice import advise, in_order
from prevenant.book_people import People, advise_on_people
from prevenant.book_texts import Files
from prevenant.errors import BookError, Problem
from prevenant.publishing import Edition, read_edition


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found in a rule book."""

    edition: Edition | None
    """None where it is no good."""
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()


def judge_texts(main: str, files: Files, today: date, people: People | None) -> Judgement:
    """Return everything that `prevenant rules check` would say of these texts."""
    try:
        edition = read_edition(Path(main), files)
    except BookError as error:
        return Judgement(None, error.problems)
    warnings = advise(edition.book, today)
    if people is not None:
        warnings = in_order([*warnings, *advise_on_people(edition.book, people)])
    return Judgement(edition, (), warnings)
