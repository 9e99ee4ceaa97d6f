"""The sending side alone: an outbox with so many messages, which it hands over as fast as it can.

python -m benchmarks.engage_sender FOLDER CHANNEL COUNT CARRIER_URL ACCOUNT TOKEN SMTP_PORT

Says how many a second it handed over and wrote down, from the start of the outbox to the last message.
"""

import json
import sys
import threading
import time
from pathlib import Path

from pydantic import SecretStr
from sqlmodel import col, func, select

from notify.message import SENT, Delivery, Draft, Recipient, queue_message
from notify.outbox import Outbox
from notify.templating import Templates
from prevenant.clock import SystemClock
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.worker import make_channels

_AT_ONCE = 500
_PATIENCE_S = 300.0
_LOOK_AGAIN_S = 0.02


def queue(store: Store, channel: str, count: int) -> None:
    """Queue so many messages, each to somebody else."""
    templates, now = Templates(), SystemClock().now()
    for start in range(0, count, _AT_ONCE):
        with store.write() as session:
            for number in range(start, min(count, start + _AT_ONCE)):
                address = f"c{number}@home.example" if channel == "email" else f"+336{number:08}"
                recipient = Recipient(
                    f"c{number}", "Camille Roux", "guest", "en", "UTC", {channel: address}
                )
                draft = Draft(f"bench:{number}", recipient, "reply_stopped", {}, [[channel]], 3)
                queue_message(session, templates, draft, now)


def send(store: Store, settings: Settings, count: int) -> float:
    """Run the outbox until all are handed over; return how many seconds that took."""
    clock = SystemClock()
    outbox = Outbox(store, clock, make_channels(settings, clock, store))
    sent = select(func.count()).where(col(Delivery.state) == SENT)
    thread = threading.Thread(target=outbox.run)
    began = time.perf_counter()
    thread.start()
    try:
        while time.perf_counter() - began < _PATIENCE_S:
            with store.read() as session:
                if session.exec(sent).one() == count:
                    return time.perf_counter() - began
            time.sleep(_LOOK_AGAIN_S)
    finally:
        outbox.stop()
        thread.join()
    message = f"not all of {count} messages were handed over in {_PATIENCE_S:g} s"
    raise TimeoutError(message)


def main() -> None:
    """Queue, send and say how fast."""
    folder, channel, count, carrier, account, token, port = sys.argv[1:8]
    settings = Settings(
        twilio_account_sid=account,
        twilio_auth_token=SecretStr(token),
        twilio_from="+33939980000",
        twilio_base_url=carrier,
        smtp_url=SecretStr(f"smtp://127.0.0.1:{port}"),
        email_from="service@prevenant.example",
    )
    store = Store(f"sqlite:///{Path(folder) / 'prevenant.db'}")
    store.upgrade()
    queue(store, channel, int(count))
    seconds = send(store, settings, int(count))
    store.close()
    print(json.dumps({"rate": int(count) / seconds}))  # noqa: T201  the answer


if __name__ == "__main__":
    main()
