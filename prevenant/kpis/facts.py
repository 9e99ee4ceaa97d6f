"""What is known of each alarm, case and survey, and what the figures come to from there. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from prevenant.kpis.definitions import CLOSED, OPENED, RAISED, RETURNS_WITHIN_DAYS, SENT
from prevenant.kpis.figures import Figure, of_share, of_survey, of_times
from workflows.closing import NO_FAULT


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something belongs, by what it can be grouped."""

    site_id: str
    rule: str
    severity: int


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """An alarm, from when its condition held."""

    origin: Origin
    onset_at: datetime
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class Visit:
    """A technician's job on a case, as far as it was reported."""

    is_done: bool
    code: str = ""
    en_route_at: datetime | None = None
    arrived_at: datetime | None = None
    done_at: datetime | None = None

    @property
    def lasted(self) -> float | None:
        """How many seconds it took, from setting out or else from arriving; None where not reported."""
        begun_at = self.en_route_at or self.arrived_at
        if not self.is_done or begun_at is None or self.done_at is None:
            return None
        return (self.done_at - begun_at).total_seconds()


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """A case: when it began, what came about since, and how it ended."""

    origin: Origin
    began_at: datetime
    """When its alarm was raised, or came out from under what held it back."""
    opened_at: datetime
    closed_at: datetime | None = None
    told_at: datetime | None = None
    concerns_customer: bool = False
    """Whether the customer was told, or was to be."""
    customer_told_at: datetime | None = None
    acknowledged_at: datetime | None = None
    was_sent: bool = False
    """Whether a technician has accepted a job."""
    arrived_at: datetime | None = None
    visits: tuple[Visit, ...] = ()
    called_at: datetime | None = None
    """When the customer first got in touch without having been asked."""
    returned_at: datetime | None = None
    """When its alarm was raised again after its end."""

    def with_facts(self, **facts: Any) -> "CaseFacts":
        """Return the case with further facts."""
        return replace(self, **facts)


@dataclass(frozen=True, slots=True)
class SurveyFacts:
    """A survey that was sent, and its answer."""

    origin: Origin
    kind: str
    sent_at: datetime
    rating: int | None


Fact = AlarmFacts | CaseFacts | SurveyFacts


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the figures of a time are made of."""

    alarms: Sequence[AlarmFacts] = ()
    cases: Sequence[CaseFacts] = ()
    surveys: Sequence[SurveyFacts] = ()

    def dated_by(self, moment: str) -> list[tuple[datetime, Fact]]:
        """Return what has such a moment, with it: `raised`, `opened`, `closed` or `sent`."""
        match moment:
            case "raised":
                return [(one.raised_at, one) for one in self.alarms]
            case "opened":
                return [(one.opened_at, one) for one in self.cases]
            case "closed":
                return [(one.closed_at, one) for one in self.cases if one.closed_at is not None]
            case _:
                return [(one.sent_at, one) for one in self.surveys]


MOMENTS = (RAISED, OPENED, CLOSED, SENT)


def reckon(name: str, facts: Sequence[Any]) -> Figure:
    """Return what the figure called `name` comes to over some facts of its kind."""
    return _RECKONED[name](facts)


def _since_began(pick: Callable[[CaseFacts], datetime | None]) -> Callable[..., Figure]:
    def figure(cases: Sequence[CaseFacts]) -> Figure:
        found = [
            (one.began_at, pick(one)) for one in cases if one.closed_at is None or _was_known(one)
        ]
        times = [_seconds(began_at, at) for began_at, at in found if at is not None]
        return of_times(times, len(found) - len(times))

    return figure


def _was_known(case: CaseFacts) -> bool:
    """Return whether anybody has known of a case before it was over."""
    return any((case.told_at, case.acknowledged_at, case.was_sent, case.concerns_customer))


def _detected(alarms: Sequence[AlarmFacts]) -> Figure:
    return of_times([_seconds(one.onset_at, one.raised_at) for one in alarms])


def _customers_told(cases: Sequence[CaseFacts]) -> Figure:
    return _since_began(lambda one: one.customer_told_at)(
        [one for one in cases if one.concerns_customer]
    )


def _arrived(cases: Sequence[CaseFacts]) -> Figure:
    return _since_began(lambda one: one.arrived_at)([one for one in cases if one.was_sent])


def _resolved(cases: Sequence[CaseFacts]) -> Figure:
    known = [one for one in cases if _was_known(one)]
    return of_times([_seconds(one.began_at, one.closed_at or one.began_at) for one in known])


def _handled(cases: Sequence[CaseFacts]) -> Figure:
    times = [handling_time(one) for one in cases if _was_known(one)]
    known = [one for one in times if one is not None]
    return of_times(known, len(times) - len(known))


def handling_time(case: CaseFacts) -> float | None:
    """Return for how many seconds somebody worked on a case that is over; None where that is not known."""
    if case.was_sent:
        lasted = [one.lasted for one in case.visits]
        known = [one for one in lasted if one is not None]
        return sum(known) if known else None
    if case.acknowledged_at is None or case.closed_at is None:
        return None
    return _seconds(case.acknowledged_at, case.closed_at)


def _fixed(cases: Sequence[CaseFacts]) -> Figure:
    judged = [is_fixed_at_once(one) for one in cases]
    return of_share([one for one in judged if one is not None])


def is_fixed_at_once(case: CaseFacts) -> bool | None:
    """Return whether one visit has mended it; None where no visit was to mend anything."""
    done = [one for one in case.visits if one.is_done]
    if not done or (len(done) == 1 and done[0].code == NO_FAULT) or case.closed_at is None:
        return None
    soon = case.closed_at + timedelta(days=RETURNS_WITHIN_DAYS)
    is_back = case.returned_at is not None and case.returned_at <= soon
    return len(done) == 1 and not is_back


def _told_first(cases: Sequence[CaseFacts]) -> Figure:
    judged = [one for one in cases if one.customer_told_at or one.called_at]
    return of_share([_is_before(one.customer_told_at, one.called_at) for one in judged])


def _solved_first(cases: Sequence[CaseFacts]) -> Figure:
    judged = [one for one in cases if one.customer_told_at or one.called_at]
    return of_share([_is_before(one.closed_at, one.called_at) for one in judged])


def _is_before(first: datetime | None, second: datetime | None) -> bool:
    return first is not None and (second is None or first < second)


def _surveyed(kind: str) -> Callable[[Sequence[SurveyFacts]], Figure]:
    return lambda surveys: of_survey(kind, [one.rating for one in surveys if one.kind == kind])


def _seconds(since: datetime, until: datetime) -> float:
    """Return how long it took; what a device's clock puts after its alarm took no time."""
    return max(0.0, (until - since).total_seconds())


_RECKONED: Mapping[str, Callable[[Sequence[Any]], Figure]] = {
    "time_to_detect": _detected,
    "time_to_tell": _since_began(lambda one: one.told_at),
    "time_to_tell_customer": _customers_told,
    "time_to_acknowledge": _since_began(lambda one: one.acknowledged_at),
    "time_to_arrive": _arrived,
    "time_to_resolve": _resolved,
    "handling_time": _handled,
    "first_visit_fix": _fixed,
    "told_before_call": _told_first,
    "solved_before_call": _solved_first,
    "csat": _surveyed("csat"),
    "nps": _surveyed("nps"),
    "ces": _surveyed("ces"),
}
