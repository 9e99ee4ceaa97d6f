"""`/metrics`: what Prometheus reads of this process and of the store. Counts and names, no person."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlmodel import Session, col, func, select

from ingest.quarantine import Quarantined
from notify.in_turn import is_its_turn
from notify.message import COMMAND, OVER, QUEUED, SENDING, UNCERTAIN, WEBHOOK, Delivery, Message
from notify.subscription import ENABLED, ENDED, Subscription
from prevenant import __version__
from prevenant.api.access import ViewerOfAll
from prevenant.clock import epoch_seconds
from prevenant.crm.tables import CrmSync
from prevenant.domain import Severity
from prevenant.errors import StoreUnavailable
from prevenant.health import Deciding, Health
from prevenant.store import Store
from prevenant.tables import ACTIVE, LATCHED, Alarm, CaseEvent, ModelState
from workflows.tables import HANDED_OVER, OPEN, Case

router = APIRouter(include_in_schema=False)

_WAITING = (QUEUED, SENDING, UNCERTAIN)


@router.get("/metrics")
def show_metrics(request: Request, actor: ViewerOfAll) -> Response:
    """Return everything that Prometheus reads, to whoever may look everywhere."""
    del actor
    return measure(request)


def measure(request: Request) -> Response:
    """Return everything that Prometheus reads, in the form that it asks for."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    state = request.app.state
    registry.register(_Numbers(state.process.describe, state.store, state.clock.now()))
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": kind, "Cache-Control": "no-store"})


class _Numbers(Collector):
    """Reads them at one moment."""

    def __init__(self, describe: Callable[[], Health], store: Store, now: datetime) -> None:
        self._describe, self._store, self._now = describe, store, now

    def describe(self) -> list[Metric]:
        """Name nothing in advance: what there is depends on the process."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what the process knows of itself, then what the store holds."""
        yield from _of_process(self._describe(), self._now)
        try:
            with self._store.read() as session:
                found = [*_of_store(session, self._now)]
        except StoreUnavailable:
            yield _gauge("store_up", "1 while the database answers", 0)
            return
        yield _gauge("store_up", "1 while the database answers", 1)
        yield from found


def _of_process(health: Health, now: datetime) -> Iterator[Metric]:
    info = {"version": __version__, "roles": health.roles}
    yield InfoMetricFamily("prevenant", "What runs here", info)
    yield _gauge("started_timestamp_seconds", "When it began", epoch_seconds(health.started_at))
    yield _by("part_up", "1 while a part of the process runs", "part", health.parts)
    yield _by("broker_connected", "1 while a broker is heard", "broker", health.brokers)
    if health.deciding is not None:
        yield from _of_deciding(health.deciding)
    if health.audited_at is not None:
        age = (now - health.audited_at).total_seconds()
        yield _gauge(
            "audit_age_seconds", "How long ago the last round of the self-audit began", age
        )
        yield _gauge("audit_lost", "What it has found and is not healed", health.lost or 0)


def _of_deciding(deciding: Deciding) -> Iterator[Metric]:
    words = "Messages of devices that were decided on since the start"
    yield CounterMetricFamily("prevenant_messages_decided", words, deciding.decided)
    yield _gauge("messages_behind", "Messages that wait to be decided on", deciding.behind)
    yield _gauge(
        "alarm_changes_unwritten", "Changes of alarms that wait to be written", deciding.unwritten
    )
    yield _gauge("journal_bytes", "What the journal takes on the disk", deciding.journal_bytes)
    refused = int(deciding.is_refused)
    yield _gauge("journal_refused", "1 while the journal cannot be written", refused)


def _of_store(session: Session, now: datetime) -> Iterator[Metric]:
    yield from _of_alarms(session)
    yield from _of_cases(session, now)
    yield from _of_deliveries(session, now)
    waiting = select(func.count()).select_from(Quarantined).where(Quarantined.state == "waiting")
    yield _gauge("quarantine_waiting", "Payloads that could not be read", _one(session, waiting))
    models = GaugeMetricFamily(
        "prevenant_model_state", "1 for the state that a model is in", labels=("model", "state")
    )
    for name, state in session.exec(select(ModelState.name, ModelState.state)):
        models.add_metric((name, state), 1)
    yield models
    syncs = select(CrmSync.source, func.min(CrmSync.synced_at)).group_by(CrmSync.source)
    ages = {
        source: (now - at).total_seconds() for source, at in session.exec(syncs) if at is not None
    }
    yield _by("crm_age_seconds", "How old is what we know of an outside CRM", "source", ages)


def _of_alarms(session: Session) -> Iterator[Metric]:
    standing = (
        select(Alarm.severity, Alarm.state, func.count())
        .where(col(Alarm.state).in_((ACTIVE, LATCHED)))
        .group_by(col(Alarm.severity), col(Alarm.state))
    )
    yield _by_severity(session, "alarms", "Alarms that stand, by state", standing)
    # Rows are never taken away, so that the newest number is how many there were.
    total = _one(session, select(func.max(Alarm.id)))
    yield CounterMetricFamily("prevenant_alarms_raised", "Alarms raised, ever", total)


def _of_cases(session: Session, now: datetime) -> Iterator[Metric]:
    standing = (
        select(Case.severity, Case.state, func.count())
        .where(col(Case.state).in_((OPEN, HANDED_OVER)))
        .group_by(col(Case.severity), col(Case.state))
    )
    yield _by_severity(session, "cases", "Cases that are not closed, by state", standing)
    total = _one(session, select(func.max(Case.id)))
    yield CounterMetricFamily("prevenant_cases_opened", "Cases opened, ever", total)
    unheard = col(CaseEvent.heard_at).is_(None)
    count, oldest = session.exec(select(func.count(), func.min(CaseEvent.at)).where(unheard)).one()
    yield _gauge("case_events_unheard", "What cases have still to hear", count)
    age = (now - oldest).total_seconds() if oldest else 0
    yield _gauge("case_events_oldest_seconds", "For how long the oldest of it waits", age)


def _of_deliveries(session: Session, now: datetime) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "prevenant_deliveries_waiting",
        "Deliveries that are not handed over yet",
        labels=("channel", "state"),
    )
    standing = (
        select(Delivery.channel, Delivery.state, func.count())
        .where(col(Delivery.state).in_(_WAITING))
        .group_by(col(Delivery.channel), col(Delivery.state))
    )
    for channel, state, count in session.exec(standing):
        waiting.add_metric((channel, state), count)
    yield waiting
    due = select(func.min(Delivery.next_at)).where(Delivery.state == QUEUED, is_its_turn())
    oldest = session.exec(due.where(col(Delivery.next_at) <= now)).one()
    late = (now - oldest).total_seconds() if oldest else 0
    yield _gauge("deliveries_late_seconds", "How late the delivery is that was due first", late)
    total = _one(session, select(func.max(Message.id)))
    yield CounterMetricFamily("prevenant_messages_queued", "Messages decided on, ever", total)
    lost = (
        select(func.count())
        .select_from(Delivery)
        .where(col(Delivery.channel).in_((WEBHOOK, COMMAND)), col(Delivery.state).in_(OVER))
    )
    yield _gauge("dead_letters", "What machines were not given", _one(session, lost))
    subscribed = select(Subscription.state, func.count()).where(Subscription.state != ENDED)
    counts = dict(session.exec(subscribed.group_by(Subscription.state)).all())
    yield _by("webhooks", "Subscriptions to webhooks", "state", counts)
    failing = select(func.min(Subscription.failing_since)).where(Subscription.state == ENABLED)
    since = session.exec(failing).one()
    lasted = (now - since).total_seconds() if since else 0
    words = "For how long the subscriber that fails has taken nothing"
    yield _gauge("webhooks_failing_seconds", words, lasted)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"prevenant_{name}", words, value)


def _by(name: str, words: str, label: str, values: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"prevenant_{name}", words, labels=(label,))
    for of_it, value in values.items():
        family.add_metric((of_it,), float(value))
    return family


def _by_severity(session: Session, name: str, words: str, query: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"prevenant_{name}", words, labels=("severity", "state"))
    for severity, state, count in session.exec(query):
        family.add_metric((Severity(severity).word, state), count)
    return family


def _one(session: Session, query: Any) -> int:
    return int(session.exec(query).one() or 0)
