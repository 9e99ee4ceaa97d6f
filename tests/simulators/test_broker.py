"""A server of the demo or of a test gets a port that stays its own while it is down."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from simulators.broker import free_port


def _given_to_those_who_connect() -> range:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return range(first, last + 1)


def test_a_free_port_is_given_to_nobody_who_connects() -> None:
    lent = _given_to_those_who_connect()
    assert not [port for port in (free_port() for _ in range(50)) if port in lent]


def test_a_port_that_was_given_and_is_not_in_use_yet_is_not_given_again() -> None:
    assert len({free_port() for _ in range(500)}) == 500


def test_a_port_in_use_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.socket()) as used:
        used.bind(("127.0.0.1", free_port()))
        taken, other = used.getsockname()[1], free_port()
        monkeypatch.setattr("simulators.broker._FREE_PORTS", [taken, other])
        assert {free_port() for _ in range(20)} == {other}
