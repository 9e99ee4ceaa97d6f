"""Surveys: how the customer found it, by CSAT, NPS or CES; one a case, one a contact in thirty days."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import col, select

from notify import CORRECTED_WITHIN, FOR_EVER, Ask, Patience
from prevenant.crm.directory import Person
from prevenant.tables import CaseEvent
from workflows.definition import Survey, Turns
from workflows.holding import hold
from workflows.recipients import people_of
from workflows.running import Outcome, RunningCase
from workflows.tables import SentSurvey

KINDS = {"csat": "rating", "nps": "nps", "ces": "ces"}
"""Kinds of surveys, and the kind of question that a reply to them answers."""
LARGEST = {"rating": 5, "nps": 10, "ces": 7}
_STARS = re.compile("[⭐★🌟✭✮✯⭑✪☆✩⚝\N{VARIATION SELECTOR-16}\N{COMBINING ENCLOSING KEYCAP}]")
"""What is said by itself, or makes a key of a digit."""
SELDOM = timedelta(days=30)
"""A contact is not asked again before."""


@dataclass(frozen=True, slots=True)
class Score:
    """What the answers to one kind of survey come to."""

    kind: str
    sent: int
    answered: int
    score: float | None
    """None without an answer. Its meaning stands in `MEANINGS`."""


MEANINGS: Mapping[str, str] = {
    "csat": "percentage of answers that are 4 or 5 of 5",
    "nps": "percentage of 9 and 10 less the percentage of 0 to 6, from -100 to 100",
    "ces": "mean of the answers from 1 (very hard) to 7 (very easy)",
}


def send(run: RunningCase, step: Survey) -> Outcome:
    """Send the customer a survey, unless one was sent before."""
    if run.case.survey:
        run.note(
            "survey.skipped", f"no {step.kind}: the customer has the {run.case.survey} already"
        )
        return Outcome.DONE
    people = people_of(run, "customer")
    if not people:
        run.note("tell.nobody", "nobody to tell as customer", {"template": step.template})
        return Outcome.DONE
    until = run.now + timedelta(seconds=step.ask_for_s)
    for person in people:
        if may_ask(run, person, step.kind):
            ask(run, person, step.kind, "customer", step.template, step.turns, until)
    return Outcome.DONE


def may_ask(run: RunningCase, person: Person, kind: str) -> bool:
    """Return whether a contact was asked nothing of the kind for long enough; note it where not."""
    # Two cases of one contact may end at once, in two processes.
    hold(run.session, f"survey {person.contact_id}")
    query = select(SentSurvey.sent_at).where(
        SentSurvey.contact_id == person.contact_id, col(SentSurvey.sent_at) > run.now - SELDOM
    )
    before = run.session.exec(query.order_by(col(SentSurvey.id).desc())).first()
    if before is None:
        return True
    run.note(
        "survey.skipped",
        f"no {kind}: {person.name} was asked on {before:%Y-%m-%d}, less than {SELDOM.days} days ago",
    )
    return False


def ask(
    run: RunningCase,
    person: Person,
    kind: str,
    role: str,
    template: str,
    turns: Turns,
    until: datetime | None,
    patience: Patience = FOR_EVER,
) -> None:
    """Send a contact a survey, with a template that asks for it."""
    run.case.survey = kind
    key = run.tell(
        person, role, template, turns, Ask(KINDS[kind], until), {"survey": True}, patience=patience
    )
    sent = SentSurvey(
        case_id=run.case.id or 0,
        contact_id=person.contact_id,
        kind=kind,
        message_key=key,
        sent_at=run.now,
    )
    run.session.add(sent)


def take_rating(run: RunningCase, event: CaseEvent) -> None:
    """Keep what the customer thinks of us, and the words beside the number.

    Another number counts for a while; what comes later changes nothing.
    """
    kind, number = event.data["ask"], event.data["number"]
    query = select(SentSurvey).where(
        SentSurvey.case_id == run.case.id, SentSurvey.message_key == event.data["message"]
    )
    sent = run.session.exec(query).first()
    summary = f"{event.data['name']} rates it {number} of {LARGEST[kind]}"
    if sent is not None and sent.answered_at and sent.answered_at < event.at - CORRECTED_WITHIN:
        run.note("answer.late", f"{summary}, too late: it stays at {sent.rating}")
        return
    run.case.rating = number
    run.stop_asking(kind, contact_id=event.data["contact"])
    if sent is not None:
        sent.rating, sent.answered_at = number, run.now
        sent.comment = _comment(str(event.data.get("text", "")), run.case.id or 0)
        run.session.add(sent)
    run.note("customer.rated", summary, {"survey": run.case.survey, "rating": number})


def score(kind: str, ratings: Sequence[int | None]) -> Score:
    """Return what answers come to; None is a survey without one."""
    given = [one for one in ratings if one is not None]
    if not given:
        return Score(kind, len(ratings), 0, None)
    match kind:
        case "csat":
            value = 100.0 * sum(one >= 4 for one in given) / len(given)  # noqa: PLR2004  content
        case "nps":
            promoters = sum(one >= 9 for one in given)  # noqa: PLR2004  as NPS is defined
            detractors = sum(one <= 6 for one in given)  # noqa: PLR2004
            value = 100.0 * (promoters - detractors) / len(given)
        case _:
            value = sum(given) / len(given)
    return Score(kind, len(ratings), len(given), round(value, 1))


def _comment(text: str, case_id: int) -> str:
    """Return what was said beside the number, or the stars, and the number of the case."""
    number = rf"^\W*({case_id}\W+(?=\d))?(\d+(\s*/\s*\d+)?)?[\s,.;:!)-]*"
    return re.sub(number, "", _STARS.sub("", text)).strip()[:500]
