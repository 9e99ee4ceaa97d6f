"""What the store has of a stream: how it is divided; of each partition its snapshot and who decides it.

Whoever decides a partition holds its row while changes of its alarms are written. Who takes it over waits
for that, and gives it a new token: the one before finds that, writes nothing more, and gives it up.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select, update

from ingest.partitions import BY_DEVICE
from ingest.topic import MOST_PARTITIONS
from prevenant.errors import ConfigurationError, PartitionLost
from prevenant.store import insert_once
from prevenant.stream.changing import Version
from prevenant.tables import PartitionState, Stream
from rules.book import RuleBook


class Lease(NamedTuple):
    """The right to decide a partition, for as long as nobody takes it over."""

    topic: str
    number: int
    token: int


class Kept(NamedTuple):
    """A partition as it was left, and the right to go on with it."""

    lease: Lease
    offset: int
    taken_at: float
    state: bytes


def settle_stream(session: Session, topic: str, partitions: int, keyed_by: str) -> Stream:
    """Return how a stream is divided; the first who asks decides it."""
    insert_once(session, Stream(topic=topic, partitions=partitions, keyed_by=keyed_by))
    return session.exec(select(Stream).where(Stream.topic == topic)).one()


def check_partitions(stream: Stream, found: int) -> None:
    """Raise ConfigurationError where the topic has another number of partitions than the stream."""
    if found > MOST_PARTITIONS:
        message = (
            f"the topic {stream.topic} has {found} partitions, more than {MOST_PARTITIONS}: "
            "name a new topic with PREVENANT_KAFKA_TOPIC"
        )
        raise ConfigurationError(message)
    if found != stream.partitions:
        message = (
            f"the topic {stream.topic} has {found} partitions, and what is known of its devices is "
            f"divided into {stream.partitions}: name a new topic with PREVENANT_KAFKA_TOPIC"
        )
        raise ConfigurationError(message)


def check_book(stream: Stream, version: Version, rules: RuleBook) -> None:
    """Raise ConfigurationError where a book needs more together than a partition has."""
    if stream.keyed_by == BY_DEVICE and rules.is_about_sites:
        message = (
            f"version {version.number} of the rule book asks about whole sites, and the stream "
            f"{stream.topic} is divided by device: name a new topic with PREVENANT_KAFKA_TOPIC, or "
            "publish a book that does not"
        )
        raise ConfigurationError(message)


def take_over(session: Session, topic: str, number: int, owner: str) -> Kept:
    """Become who decides a partition, once whoever writes for it just now is done."""
    insert_once(session, PartitionState(topic=topic, number=number))
    query = select(PartitionState).where(*_is(topic, number)).with_for_update()
    row = session.exec(query).one()
    row.token, row.owner = row.token + 1, owner
    session.add(row)
    return Kept(Lease(topic, number, row.token), row.offset, row.taken_at, row.state)


def hold(session: Session, lease: Lease) -> None:
    """Keep a partition ours until the transaction ends. Raises PartitionLost."""
    query = select(PartitionState.token).where(*_is(lease.topic, lease.number))
    if session.exec(query.with_for_update(read=True, key_share=True)).first() != lease.token:
        raise _lost(lease)


def still_holds(session: Session, lease: Lease) -> bool:
    """Return whether nobody has taken a partition over."""
    query = select(PartitionState.token).where(*_is(lease.topic, lease.number))
    return session.exec(query).first() == lease.token


def save_snapshot(
    session: Session, lease: Lease, offset: int, taken_at: float, state: bytes
) -> None:
    """Keep what is known in place of what was. Raises PartitionLost."""
    query = (
        update(PartitionState)
        .where(*_is(lease.topic, lease.number), col(PartitionState.token) == lease.token)
        .values(offset=offset, taken_at=taken_at, state=state)
    )
    if not session.execute(query).rowcount:  # type: ignore[attr-defined]
        raise _lost(lease)


def _is(topic: str, number: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(PartitionState.topic) == topic, col(PartitionState.number) == number


def _lost(lease: Lease) -> PartitionLost:
    return PartitionLost(
        f"partition {lease.number} of {lease.topic} is decided by another process now"
    )
