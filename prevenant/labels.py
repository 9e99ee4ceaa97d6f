"""What technicians found at visits that predictions led to, as labels that models learn from."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlmodel import Session, col, select

from prevenant.clock import epoch_seconds, from_epoch
from prevenant.errors import ConfigurationError
from prevenant.tables import Alarm
from workflows.closing import CONFIRMED
from workflows.tables import CaseAlarm, WorkOrder


class Label(NamedTuple):
    """What was found at one visit. Times are seconds since 1970."""

    device: str
    at: float
    """When the technician was done."""
    code: str
    """`confirmed`, `no_fault_found` or `other_cause`."""
    raised_at: float
    """When the alarm was raised that the visit was for."""
    cause: str
    models: tuple[str, ...] = ()
    """Which models had spoken when the alarm was raised; none where the rule asks none."""

    @property
    def is_failure(self) -> bool:
        """Whether what was predicted was there."""
        return self.code == CONFIRMED


def find_labels(
    session: Session, device_type: str, model: str = "", since: datetime | None = None
) -> Iterator[Label]:
    """Yield what was found on devices of a type, one label a visit, the oldest first.

    With `model`, only where that model had spoken when the alarm was raised.
    """
    query = (
        select(WorkOrder, Alarm)
        .join(CaseAlarm, col(CaseAlarm.case_id) == WorkOrder.case_id)
        .join(Alarm, col(Alarm.id) == CaseAlarm.alarm_id)
        .where(WorkOrder.state == "done", WorkOrder.code != "", Alarm.device_type == device_type)
        .order_by(col(WorkOrder.updated_at), col(WorkOrder.id), col(Alarm.id))
    )
    if since is not None:
        query = query.where(WorkOrder.updated_at >= since)
    told: set[int] = set()
    for order, alarm in session.exec(query):
        # A case may be about several devices; what was found is about the one that was visited.
        if order.id in told or (order.device_id and alarm.device_id != order.device_id):
            continue
        models = _models_heard(alarm.values)
        if model and model not in models:
            continue
        told.add(order.id or 0)
        at, raised_at = epoch_seconds(order.updated_at), epoch_seconds(alarm.raised_at)
        yield Label(alarm.device_id, at, order.code, raised_at, order.cause, models)


def _models_heard(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the models of which an alarm's values have a number: words are there for every rule."""
    names = (
        name.partition(".")[0]
        for name, value in values.items()
        if "." in name and isinstance(value, int | float)
    )
    return tuple(sorted(set(names)))


def write_failures(path: Path, labels: Iterable[Label]) -> int:
    """Write what was confirmed as a file of failures: `device, failed_at, cause`; return how many.

    Raises ConfigurationError where the file cannot be written.
    """
    rows = [
        (one.device, from_epoch(one.at).isoformat(), one.cause) for one in labels if one.is_failure
    ]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("device", "failed_at", "cause"))
            writer.writerows(rows)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}; name another file"
        raise ConfigurationError(message) from None
    return len(rows)
