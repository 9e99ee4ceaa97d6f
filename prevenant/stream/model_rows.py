"""What the store has of models: how each of them is, and what their shadows said."""

from collections.abc import Collection, Mapping

import msgspec
import structlog
from sqlmodel import Session, col, delete, select

from prevenant.clock import from_epoch
from prevenant.stream.speaker import NONE, OUT, Compared, Health, Speaker
from prevenant.tables import ModelState, ShadowScore, add_timeline

log = structlog.get_logger()


def write_health(
    session: Session, told: Mapping[str, tuple[Speaker, Health]], names: Collection[str]
) -> None:
    """Write how models are, and the line of the story where one fell out or came back.

    Models that the book does not have any more, by `names`, are forgotten.
    """
    session.exec(delete(ModelState).where(col(ModelState.name).not_in(names)))
    for name, (speaker, health) in told.items():
        row = find_state(session, name)
        since = from_epoch(health.since)
        if row is not None and since < row.since:
            # Read again after a crash: what came of it since stands here already.
            continue
        before = row.state if row else NONE
        if row is None:
            row = ModelState(name=name, device_type="", state=NONE, since=from_epoch(0.0))
        row.device_type = speaker.model.on
        row.version, row.shadow_version = speaker.version[0], speaker.shadow_version[0]
        row.state, row.reason, row.since = health.state, health.reason, since
        row.findings = [msgspec.to_builtins(one) for one in speaker.findings()]
        session.add(row)
        if (before in OUT) != (health.state in OUT):
            word = "out" if health.state in OUT else "back"
            summary = (
                f"model {name} is {health.state}{f': {health.reason}' if health.reason else ''}"
            )
            detail = {"model": name, "version": row.version, "state": health.state}
            add_timeline(session, row.since, f"model.{word}", summary, detail=detail)
            log.warning(summary, version=row.version)


def write_refusal(session: Session, name: str, reason: str) -> bool:
    """Write why the version that is to speak cannot be used; nothing where it can.

    Returns False where whoever decides has not taken up the model yet: it is to be written later.
    """
    row = find_state(session, name)
    if row is not None and row.refused != reason:
        row.refused = reason
        session.add(row)
    return row is not None or not reason


def find_state(session: Session, name: str) -> ModelState | None:
    """Return how a model is, or None."""
    return session.exec(select(ModelState).where(ModelState.name == name)).first()


def write_compared(
    session: Session, compared: Mapping[tuple[str, int, int], Mapping[str, Compared]]
) -> None:
    """Add what models and their shadows said of the same devices."""
    for (model, version, shadow_version), by_device in compared.items():
        for device_id, one in by_device.items():
            key = (model, version, shadow_version, device_id)
            row = session.get(ShadowScore, key)
            if row is None:
                row = ShadowScore(
                    model=model,
                    version=version,
                    shadow_version=shadow_version,
                    device_id=device_id,
                    at=from_epoch(one.at),
                )
            row.value, row.shadow_value, row.at = one.value, one.shadow, from_epoch(one.at)
            row.count += one.count
            row.difference += one.difference
            session.add(row)
