"""The heartbeat is heard while the audit goes round, and stops with it: hung, dead, or without a store."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic import SecretStr

from prevenant.auditing import make_auditor
from prevenant.errors import StoreUnavailable
from prevenant.heartbeat import Heartbeat
from prevenant.settings import Settings
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from workflows.auditor import Auditor, Round


class Watch:
    """An outside watch that counts the calls it gets."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status = 200
        watch = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                watch.calls.append(self.path)
                self.send_response(watch.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/ping/secret"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Run an outside watch."""
    watch = Watch()
    yield watch
    watch.close()


@contextmanager
def running(watch: Watch, store: Store, clock: MovedClock) -> Iterator[Auditor]:
    """Run an auditor with a heartbeat, and wait for its first call."""
    settings = Settings(heartbeat_url=SecretStr(watch.url), heartbeat_every="1m")
    auditor = make_auditor(settings, store, clock)
    thread = threading.Thread(target=auditor.run)
    thread.start()
    try:
        wait_until(lambda: watch.calls == ["/ping/secret"], "the first call")
        yield auditor
    finally:
        auditor.stop()
        thread.join()


def go_round(auditor: Auditor, clock: MovedClock, **span: float) -> Round:
    """Let time pass, and wait until the auditor has gone round since."""
    before = clock.now()
    clock.advance(**span)
    wait_until(lambda: auditor.last is not None and auditor.last.at > before, "a round")
    assert auditor.last is not None
    return auditor.last


def test_it_is_called_while_the_audit_goes_round(
    watch: Watch, store: Store, clock: MovedClock
) -> None:
    with running(watch, store, clock) as auditor:
        go_round(auditor, clock, seconds=30)
        assert len(watch.calls) == 1, "once a minute, whatever the rounds"
        go_round(auditor, clock, seconds=30)
        wait_until(lambda: len(watch.calls) == 2, "the second call")


def test_it_stops_with_the_store_and_comes_back_with_it(
    watch: Watch, store: Store, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def away() -> None:
        tried.set()
        raise StoreUnavailable

    with running(watch, store, clock) as auditor:
        with monkeypatch.context() as patched:
            patched.setattr(store, "read", away)
            for _ in range(5):
                tried.clear()
                clock.advance(minutes=1)
                assert tried.wait(60)
            assert len(watch.calls) == 1
        go_round(auditor, clock, minutes=1)
        wait_until(lambda: len(watch.calls) == 2, "another call")


def test_it_stops_when_the_audit_hangs(
    watch: Watch, store: Store, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_self: Auditor, now: object) -> Round:
        hangs.set()
        go_on.wait(120)
        raise StoreUnavailable(str(now))

    with running(watch, store, clock):
        monkeypatch.setattr(Auditor, "audit", hang)
        clock.advance(minutes=1)
        assert hangs.wait(60)
        clock.advance(hours=1)
        assert len(watch.calls) == 1
        go_on.set()


def test_it_stops_when_the_audit_is_broken_or_its_own_alarms_are_lost(
    watch: Watch, store: Store, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def broken(_self: Auditor, now: object) -> Round:
        tried.set()
        raise ZeroDivisionError(str(now))

    def silenced(_self: Auditor, now: object) -> Round:
        tried.set()
        return Round(now, 1, is_silenced=True)  # type: ignore[arg-type]

    with running(watch, store, clock):
        for fault in (broken, silenced):
            monkeypatch.setattr(Auditor, "audit", fault)
            for _ in range(3):
                tried.clear()
                clock.advance(minutes=1)
                assert tried.wait(60)
        assert len(watch.calls) == 1


def test_a_watch_that_is_away_stops_nothing_and_its_address_is_not_shown(
    watch: Watch, store: Store, clock: MovedClock
) -> None:
    del store
    heartbeat = Heartbeat(watch.url, timedelta(minutes=1))
    watch.status = 500
    heartbeat.beat(clock.now())
    clock.advance(minutes=1)
    watch.status = 200
    heartbeat.beat(clock.now())
    assert len(watch.calls) == 2
    Heartbeat("http://127.0.0.1:1/", timedelta()).beat(clock.now())
    assert "ping/secret" not in str(Settings(heartbeat_url=SecretStr(watch.url)))
