"""Faust as the host on Kafka has it: it says which process has which partition, and reads them."""

import logging
from pathlib import Path
from typing import Any

import faust

from prevenant.kafka_address import KafkaAddress

SESSION_S, HEARTBEAT_S = 6.0, 1.5
"""After so long without a word Kafka gives our partitions to others, and how often we give it."""
_IDLE_AT_MOST_S = 10 * 365 * 86_400.0
"""After so long without asking for records Faust leaves its group, and never comes back.

Who has no partitions, or waits for the store, asks for none.
"""
_COMMIT_EVERY_S = 1.0
_BUFFERED = 32
"""So many records wait in Faust at most."""


def make_faust(address: KafkaAddress, topic: str, member: str, folder: Path) -> faust.App:
    """Return Faust without agents; under `member`, a lasting name of ours, a restart disturbs nobody.

    It has to be made inside the running loop, since it binds what it makes to the loop that it finds.
    """
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return faust.App(
        f"prevenant-{topic}",
        broker=[f"aiokafka://{server}" for server in address.servers],
        broker_credentials=_credentials(address),
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_request_timeout=20.0,
        broker_rebalance_timeout=20.0,
        broker_commit_interval=_COMMIT_EVERY_S,
        broker_max_poll_interval=_IDLE_AT_MOST_S,
        broker_max_poll_records=_BUFFERED,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=member or None,
        stream_buffer_maxsize=_BUFFERED,
        # It would wait for records that only a snapshot acknowledges, for as long as there is none.
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=folder,
        value_serializer="raw",
    )


def _credentials(address: KafkaAddress) -> Any:
    """Return how Faust makes itself known to the brokers."""
    context = address.make_tls()
    if address.user:
        return faust.SASLCredentials(
            username=address.user,
            password=address.password,
            mechanism=address.mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
