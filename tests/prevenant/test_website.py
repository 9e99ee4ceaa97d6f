"""What answers over HTTP sends at once what it has."""

import socket

from prevenant.settings import Settings
from prevenant.website import bind_pages


def test_answers_are_sent_without_delay() -> None:
    # A whole segment's delay is seen by a clock alone: what asyncio decides it by is looked at.
    with bind_pages(Settings(http="127.0.0.1:0")) as listener:
        assert listener.proto == socket.IPPROTO_TCP
