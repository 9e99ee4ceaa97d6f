"""The host on Kafka: Faust hands out partitions and records, and each partition decides on its own.

    topic ─▶ Faust (who has which partition) ─▶ partitions ─▶ alarms and snapshots in the store

Faust moves and balances the work; it owns no truth. A record is acknowledged to it once a snapshot knows
the record, so that whoever takes a partition up is given all records after the snapshot, and passes over
the others. Faust's loop has a thread of its own and never waits for the store; deciding has one, too.
"""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faust
import structlog
from faust.types import TP

from ingest.publishing import Publisher
from ingest.records import ModelTaken, TimePassed, encode_record
from ingest.topic import Topic
from prevenant.clock import epoch_seconds, steady_seconds
from prevenant.errors import ConfigurationError, JournalError, PartitionLost, StoreUnavailable
from prevenant.kafka_address import KafkaAddress
from prevenant.stream.beginning import Beginning
from prevenant.stream.changing import Version
from prevenant.stream.faust_app import make_faust
from prevenant.stream.partition import Partition, Surroundings
from prevenant.stream.partition_rows import still_holds, take_over
from prevenant.stream.voices import Voice
from rules.book import RuleBook

log = structlog.get_logger()

_LOOK_EVERY_S = 0.25
_DEAF_AT_MOST_S = 60.0
"""After so long without a record of a partition, its timers run all the same."""
_TIME_EVERY_S = 1.0
_LEFT_S, _SILENT_S = 15.0, 5.0
"""Kafka takes less to give partitions to others, where it misses who had them."""
_REGISTER_EVERY_S, _REGISTERED_AT_ONCE = 1.0, 500
_DISPUTED_S, _DISPUTES = 30.0, 4
"""Who loses partitions so often in so short a time shares its name with another process."""


class KafkaHost:
    """Decides on the partitions that Kafka gives this process, until `stop`."""

    def __init__(
        self,
        address: KafkaAddress,
        around: Surroundings,
        publisher: Publisher,
        current: Callable[[], tuple[Version, RuleBook]],
        member: str = "",
    ) -> None:
        """Prepare; `member` is a lasting name of ours, under which a restart disturbs nobody."""
        self._address, self._publisher, self._member = address, publisher, member
        topic = Topic(address, around.stream.topic)
        self._around = around._replace(
            find_voice=self._find_voice, pause=self._pause, earliest=topic.earliest
        )
        self._current = current
        self._partitions: dict[int, Partition] = {}
        self._assigned: set[int] = set()
        self._dealt_out = asyncio.Event()
        """Set while Kafka has dealt the partitions out, and we have taken ours up."""
        self._given: tuple[frozenset[int], int] = frozenset(), -1
        """What Kafka has dealt to us last, and in which generation of its group."""
        self._is_given = asyncio.Event()
        """Set while Kafka has dealt the partitions out, whether or not we have taken ours up."""
        self._generation = -1
        """Which dealing out that was: records of an earlier one come again, to whoever has them now."""
        self._dealing = 0
        """Rises with each dealing out that begins: who takes up what an earlier one gave stops."""
        self._confirmed: set[int] = set()
        """Which of the partitions are known to be ours since Kafka has dealt them out last."""
        self._lost: set[int] = set()
        """Which of them another process has taken over since."""
        self._lost_at = 0.0
        self._dealings = 0
        """How often Kafka has dealt out: a member that comes back begins no generation."""
        self._lost_in: dict[int, float] = {}
        """In which dealings out partitions of ours were lost of late, and when."""
        self._unacknowledged: dict[int, deque[Any]] = defaultdict(deque)
        self._voices: dict[tuple[str, bool], Voice | None] = {}
        self._knows_models = False
        self._asked: dict[tuple[int, str, bool], tuple[int, str]] = {}
        """By partition and model: the version that we have asked for last."""
        self._heard_at: dict[int, float] = {}
        self._register_due, self._registered = 0.0, -1
        """When who was heard is written next, and of which partition that was done last."""
        self._stopping = threading.Event()
        self._told_to_stop: Callable[[], None] = lambda: None
        self._failure: BaseException | None = None
        self._deciding = ThreadPoolExecutor(1, thread_name_prefix="decide")
        self._app: faust.App | None = None
        """Faust, once it was made: where a part of it fails, it stands idle."""
        self.frames = 0
        """How many frames were decided on since the start."""

    def run(self) -> None:
        """Decide until `stop`. Raises what has gone wrong for good."""
        asyncio.run(self._serve())
        if self._failure is not None and not self._stopping.is_set():
            raise self._failure

    def stop(self) -> None:
        """End `run`: keep a snapshot of every partition, and let others have them."""
        self._stopping.set()
        self._told_to_stop()

    @property
    def decided_until(self) -> dict[int, float]:
        """By partition that is decided here: up to when, in seconds since 1970."""
        partitions = [*self._partitions.items()]
        return {
            number: one.decided_until for number, one in partitions if number in self._confirmed
        }

    def find_troubles(self) -> Iterator[str]:
        """Yield why we do not decide what Kafka has given us, at present; from any thread."""
        if self._failure is not None or (self._app is not None and self._app.crashed):
            yield "Faust has crashed, so the process ends"
        elif not self._dealt_out.is_set():
            yield "Kafka has not dealt the partitions out yet"
        else:
            waiting = sorted(self._assigned - self._confirmed)
            if waiting:
                numbers = ", ".join(map(str, waiting))
                yield f"partitions that are ours are not decided: {numbers}"

    def know_models(self) -> None:
        """Take note that all versions are known that are to speak: other models have none."""
        self._knows_models = True

    def change_model(self, model: str, voice: Voice | None, *, is_shadow: bool = False) -> None:
        """Let another version of a model score, in every partition that is decided here."""
        self._voices[model, is_shadow] = voice

    async def _serve(self) -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # of a loop that is closed already
                loop.call_soon_threadsafe(told.set)

        self._told_to_stop = tell
        with TemporaryDirectory(prefix="prevenant-faust-") as folder:
            app = self._app = self._make_app(Path(folder))
            await app.start()
            try:
                while not (self._stopping.is_set() or app.crashed or self._failure):
                    await self._in_turn(self._keep_house)
                    self._acknowledge(app)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_EVERY_S):
                            await told.wait()
                if app.crashed and self._failure is None:
                    self._failure = app.crash_reason or RuntimeError("Faust has crashed")
            finally:
                await self._in_turn(self._hand_over)
                self._acknowledge(app)
                await app.stop()
                await self._in_turn(lambda: self._keep_only([], self._dealing))
                self._deciding.shutdown(wait=False)

    async def _in_turn(self, work: Callable[[], object]) -> Any:
        """Do something in the thread that decides; what it raises ends the process."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._deciding, work)
        except Exception as error:  # noqa: BLE001  raised by `run`
            self._failure = self._failure or error
            return None

    def _make_app(self, folder: Path) -> faust.App:
        name = self._around.stream.topic
        app = make_faust(self._address, name, self._member, folder)
        app.transport = Beginning(app, self._begins)
        topic = app.topic(name, value_serializer="raw", value_type=bytes)

        async def decide(stream: Any) -> None:
            async for event in stream.noack().events():
                await self._take(event)

        app.agent(topic, name="decide")(decide)
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.on_rebalance_complete.connect(self._on_complete, weak=False)
        return app

    async def _take(self, event: Any) -> None:
        await self._dealt_out.wait()
        message = event.message
        if message.generation_id != self._generation:
            return
        number, offset, value = message.partition, message.offset, message.value
        count = await self._in_turn(lambda: self._decide(number, offset, value))
        if count is not None:
            # What is kept until a snapshot knows it needs no content.
            message.value = None
            self._unacknowledged[number].append(message)
            self.frames += count

    async def _on_assigned(self, app: Any, /, *given: Any, signal: Any = None, **_: Any) -> None:
        del signal
        assigned: set[TP] = given[0]
        topic = self._around.stream.topic
        numbers = frozenset(one.partition for one in assigned if one.topic == topic)
        log.info("partitions given", partitions=sorted(numbers))
        self._unacknowledged.clear()
        self._given = numbers, app.consumer_generation_id
        self._dealings += 1
        self._is_given.set()

    async def _on_complete(self, _app: Any, /, *_given: Any, signal: Any = None, **_: Any) -> None:
        """Take up what is ours, and let Faust begin to read once it is known where.

        Not before: Kafka would hear nothing of us meanwhile, and give it to others after `SESSION_S`.
        """
        del signal
        dealing = -1
        while dealing != self._dealing:
            await self._is_given.wait()
            (numbers, generation), dealing = self._given, self._dealing
            await self._in_turn(partial(self._keep_only, numbers, dealing))
        self._generation = generation
        self._dealt_out.set()

    def _begins(self) -> dict[TP, int]:
        """Return the last record that each snapshot knows; the first where there is none."""
        topic, partitions = self._around.stream.topic, [*self._partitions.items()]
        return {TP(topic, number): max(0, partition.saved) for number, partition in partitions}

    async def _on_revoked(self, _app: Any, /, *_given: Any, signal: Any = None, **_: Any) -> None:
        del signal
        self._dealing += 1
        self._is_given.clear()
        self._dealt_out.clear()
        self._unacknowledged.clear()
        await self._in_turn(self._hand_over)

    def _acknowledge(self, app: faust.App) -> None:
        """Tell Faust of the records that a snapshot knows: only these are never given again."""
        for number, messages in self._unacknowledged.items():
            partition = self._partitions.get(number)
            while messages and partition and messages[0].offset <= partition.saved:
                messages.popleft().ack(app.consumer)

    # In the thread that decides.

    def _decide(self, number: int, offset: int, value: bytes) -> int | None:
        """Decide on a record; None where the partition is another process's."""
        if self._failure is not None or self._stopping.is_set():
            return None
        try:
            partition = self._confirm(number)
            if partition is None:
                return None
            self._heard_at[number] = steady_seconds()
            return partition.take(offset, value)
        except PartitionLost as error:
            self._lose(number, error)
        except StoreUnavailable:
            # Only while stopping: what was not written is decided again by whoever comes next.
            self._drop(number)
        return None

    def _confirm(self, number: int) -> Partition | None:
        """Return a partition, taken over from whoever decided it before if it is not ours any more."""
        if number in self._confirmed:
            return self._partitions[number]
        if number in self._lost:
            self._end_if_left_alone(number)
            return None
        partition = self._partitions.get(number)
        if partition is not None and not self._is_ours(partition):
            self._drop(number)
            partition = None
        if partition is None:
            partition = self._open(number)
        self._confirmed.add(number)
        self._heard_at[number] = steady_seconds()
        return partition

    def _end_if_left_alone(self, number: int) -> None:
        """End where Kafka goes on giving us what another has taken over: nobody decides it.

        That other one stood still while Kafka gave its partitions away, and has been killed since.
        """
        now, heard_at = steady_seconds(), self._heard_at.get(number, 0.0)
        self._heard_at[number] = now
        if now - heard_at > _SILENT_S:
            # Kafka was away, and could not give it to anybody.
            self._lost_at = now
        elif now - self._lost_at > _LEFT_S:
            message = (
                f"partition {number} of {self._around.stream.topic} was taken over by a process that "
                "has gone: it is ours again after a restart"
            )
            self._failure = self._failure or PartitionLost(message)

    def _is_ours(self, partition: Partition) -> bool:
        return bool(self._trying(lambda session: still_holds(session, partition.lease)))

    def _open(self, number: int) -> Partition:
        around = self._around
        kept = self._trying(
            lambda session: take_over(session, around.stream.topic, number, around.store.name)
        )
        version, rules = self._current()
        partition = Partition(around, kept, rules, version)
        self._partitions[number] = partition
        log.info("partition taken up", partition=number, after_record=partition.offset)
        return partition

    def _trying(self, work: Callable[[Any], Any]) -> Any:
        while True:
            try:
                with self._around.store.write() as session:
                    return work(session)
            except StoreUnavailable as error:
                log.error("partitions wait", reason=str(error))
                if self._pause():
                    raise

    def _keep_only(self, numbers: Iterable[int], dealing: int) -> None:
        """Go on with these partitions, and give the others up, until there is another dealing out."""
        self._assigned = set(numbers)
        self._confirmed.clear()
        self._lost.clear()
        for number in set(self._partitions) - self._assigned:
            self._drop(number)
        for number in sorted(self._assigned):
            if dealing != self._dealing:
                return
            try:
                self._confirm(number)
            except PartitionLost as error:
                self._lose(number, error)
            except StoreUnavailable:
                return

    def _hand_over(self) -> None:
        """Keep a snapshot of every partition whose alarms are all written, before others have them."""
        for number in list(self._confirmed):
            try:
                self._partitions[number].keep_snapshot()
            except PartitionLost as error:
                self._lose(number, error)
            except StoreUnavailable:
                self._drop(number)
        self._confirmed.clear()

    def _keep_house(self) -> None:
        turn = self._turn_to_register()
        for number in list(self._confirmed):
            try:
                self._partitions[number].keep_house_if_due()
                if number == turn:
                    self._partitions[number].decider.register(_REGISTERED_AT_ONCE)
                self._ask_for_models(self._partitions[number])
                self._let_time_pass(number)
            except PartitionLost as error:
                self._lose(number, error)
            except StoreUnavailable:
                self._drop(number)
            except JournalError as error:
                log.error("a partition waits", partition=number, reason=str(error))

    def _turn_to_register(self) -> int | None:
        """Return the partition whose devices are written now: one at a time, whoever has how many."""
        now = steady_seconds()
        if now < self._register_due or not self._confirmed:
            return None
        waiting = sorted(
            number for number in self._confirmed if self._partitions[number].decider.registry.count
        )
        if not waiting:
            return None
        later = [number for number in waiting if number > self._registered]
        self._registered = (later or waiting)[0]
        self._register_due = now + _REGISTER_EVERY_S
        return self._registered

    def _ask_for_models(self, partition: Partition) -> None:
        """Have those versions of models score that are to, from a place in the partition on."""
        for (model, is_shadow), known in partition.decider.predictions.versions.items():
            if not self._knows_models:
                return
            voice = self._voices.get((model, is_shadow))
            wanted = (voice.version, voice.fingerprint) if voice else (0, "")
            key = (partition.number, model, is_shadow)
            if wanted == known or self._asked.get(key) == wanted:
                continue
            at = epoch_seconds(self._around.clock.now())
            record = ModelTaken(at, model, *wanted, is_shadow)
            self._publisher.publish([(partition.number, encode_record(record))])
            self._asked[key] = wanted

    def _let_time_pass(self, number: int) -> None:
        """Where nobody listens any more, let timers run all the same after a while."""
        now = steady_seconds()
        if now - self._heard_at[number] > _DEAF_AT_MOST_S:
            at = epoch_seconds(self._around.clock.now())
            self._publisher.publish([(number, encode_record(TimePassed(at)))])
            self._heard_at[number] = now - _DEAF_AT_MOST_S + _TIME_EVERY_S

    def _lose(self, number: int, error: PartitionLost) -> None:
        """Stop deciding a partition, until Kafka gives it to us again."""
        log.warning("partition lost", partition=number, reason=str(error))
        self._lost.add(number)
        self._drop(number)
        self._lost_at = now = steady_seconds()
        self._lost_in[self._dealings] = now
        self._lost_in = {one: at for one, at in self._lost_in.items() if now - at < _DISPUTED_S}
        if self._member and len(self._lost_in) >= _DISPUTES:
            message = (
                f"another process is called {self._member}, too, and neither gets on: "
                "give each a PREVENANT_KAFKA_MEMBER of its own"
            )
            self._failure = self._failure or ConfigurationError(message)

    def _drop(self, number: int) -> None:
        self._confirmed.discard(number)
        for key in [key for key in self._asked if key[0] == number]:
            del self._asked[key]
        partition = self._partitions.pop(number, None)
        if partition is not None:
            partition.close()

    def _find_voice(self, model: str, version: int, fingerprint: str) -> Voice | None:
        for (name, _), voice in self._voices.items():
            if voice and (name, voice.version, voice.fingerprint) == (model, version, fingerprint):
                return voice
        return None

    def _pause(self) -> bool:
        return self._stopping.wait(1.0)
