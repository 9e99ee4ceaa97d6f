"""Where Faust begins to read each partition: where its snapshot ends, whatever Kafka holds as committed.

What Kafka holds is as it was left; a store that was restored is older, and its partitions have to be read
again from there. After that it reads on without a pause.
"""

from collections.abc import Callable, Mapping
from typing import cast

import faust
from faust.transport.drivers import aiokafka
from faust.types import TP


class _Consumer(aiokafka.Consumer):
    """Faust's consumer, which begins anew after each dealing out of partitions."""

    def on_buffer_full(self, tp: TP) -> None:
        """Go on fetching: whoever hands records over waits for room by itself.

        Faust would leave the partition out, and where all are left out sleep for a second, in which
        what it has buffered is decided on long since.
        """

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing: no partition was left out."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to the last record that each snapshot knows; without it, to the first that there is.

        That record tells whether the topic is still the one that was decided on.
        """
        committed: Mapping[TP, int] = await super().seek_to_committed()
        assigned, transport = self.assignment(), cast("Beginning", self.transport)
        known = {tp: at for tp, at in transport.begins().items() if tp in assigned}
        ends = await self.highwaters(*known) if known else {}
        # Faust would drop what comes before the place that it was told of.
        begins = {tp: at if at < (ends.get(tp) or 0) else 0 for tp, at in known.items()}
        if begins:
            await self.seek_wait(begins)
        return {**committed, **begins}


class Beginning(aiokafka.Transport):
    """Faust's way to Kafka; `begins` says by partition which record is to come first."""

    Consumer = _Consumer

    def __init__(self, app: faust.App, begins: Callable[[], Mapping[TP, int]]) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.begins = begins
