"""Clients that do not wait for an answer that is withheld, and long for every other.

How long a client waits is a time of the machine's: what a test makes shorter than the answer of a busy
machine takes, looks like an answer that never comes.
"""

import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from notify.sms import TwilioAccount
from simulators.carrier import Carrier


class _Impatient(HTTPAdapter):
    """Gives a request up once its answer is withheld, as a client does when its time is over."""

    def __init__(self, silences: threading.Semaphore) -> None:
        super().__init__()
        self._silences = silences

    def send(self, *request: Any, **options: Any) -> requests.Response:
        """Make a request. Raises ReadTimeout where the provider has hung up to say nothing."""
        try:
            return super().send(*request, **options)
        except requests.ConnectionError:
            if self._silences.acquire(blocking=False):
                raise requests.ReadTimeout from None
            raise


def give_up_at_once(provider: Any, silence: str, session: requests.Session) -> None:
    """Let `session` give up at once what `provider` withholds; `silence` names its method for that."""
    silences = threading.Semaphore(0)
    setattr(provider, silence, silences.release)
    session.mount("http://", _Impatient(silences))


def give_up_twilio_at_once(carrier: Carrier, account: TwilioAccount) -> None:
    """Let an account give up at once what the carrier withholds."""
    give_up_at_once(carrier, "withhold", account.client.http_client.session)
