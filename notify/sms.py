"""SMS through Twilio's own client."""

import json
from datetime import timedelta
from typing import Any

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from notify.http_answers import never_connected, retry_after_s
from notify.message import Delivery, Message
from notify.numbers import dialled
from notify.receipts import Receipt, read_twilio
from notify.twilio_codes import CODES, Verdict, judge_code
from prevenant.errors import Throttled, Uncertain
from prevenant.senders import Senders
from prevenant.settings import Settings

TIMEOUT_S = 10.0
_TOO_MANY, _UNAVAILABLE, _SERVER_ERROR = 429, 503, 500
_UNAUTHORISED = frozenset({401, 403})
_CLOCKS_APART = timedelta(minutes=2)
_LOOKED_THROUGH = 50
_TRIAL = "Sent from your Twilio trial account - "
"""What a trial account writes before each text."""
_RECEIPT_THERE_S, _RECEIPT_LOST_S = 5.0, 300.0


class TwilioAccount:
    """One Twilio account, shared by SMS and voice."""

    def __init__(self, settings: Settings) -> None:
        # Twilio has no idempotency key: its client must never repeat a request by itself.
        http = _HonestHttpClient(timeout=TIMEOUT_S, max_retries=0)
        self.token = settings.twilio_auth_token.get_secret_value()
        self.client = Client(settings.twilio_account_sid, self.token, http_client=http)
        if settings.twilio_base_url:
            self.client.api.base_url = settings.twilio_base_url
        self.senders = Senders.parse(settings.twilio_from, settings.twilio_senders)
        self._public_url = settings.public_url

    def close(self) -> None:
        """Close the connections to Twilio."""
        self.client.http_client.session.close()

    @property
    def hears_back(self) -> bool:
        """Whether Twilio can reach us with receipts and answers."""
        return bool(self._public_url)

    def callback(self, path: str, delivery: Delivery) -> str | None:
        """Return the address that Twilio calls about a delivery; None without a public address."""
        return (
            f"{self._public_url}/webhooks/twilio/{path}?key={delivery.key}"
            if self._public_url
            else None
        )


class Sms:
    """Text messages. Raises the errors of `DeliveryError`."""

    knows_what_it_took = True

    def __init__(self, account: TwilioAccount) -> None:
        self._account = account

    @property
    def confirms(self) -> bool:
        """Receipts come where there is a public address."""
        return self._account.hears_back

    def send(self, delivery: Delivery, message: Message) -> str:
        """Hand one text to Twilio; return its SID."""
        sent = call_twilio(
            self._account.client.messages.create,
            to=dialled(delivery.address),
            from_=self._account.senders.for_text(delivery.address),
            body=message.texts[delivery.channel],
            **given(status_callback=self._account.callback("status", delivery)),
        )
        return str(sent.sid)

    def ask_after_s(self, _: Delivery) -> float:
        """Return how soon Twilio is asked: where it can bring a receipt, only once it may be lost."""
        return ask_after_s(self._account)

    def ask(self, delivery: Delivery) -> Receipt | None:
        """Ask Twilio what became of a text."""
        return ask_about(self._account, delivery)

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look through Twilio's list for a text that we may have handed over."""
        sent = call_twilio(
            self._account.client.messages.list, to=dialled(delivery.address), limit=_LOOKED_THROUGH
        )
        for one in sent:
            # No looser: another text that ends alike is not this one, which would count as sent.
            body = str(one.body).removeprefix(_TRIAL)
            if one.sid in known or body != message.texts[delivery.channel]:
                continue
            if is_since(one.date_created, delivery):
                return str(one.sid)
        return None

    def close(self) -> None:
        """Give back the account's connections."""
        self._account.close()


def ask_after_s(account: TwilioAccount) -> float:
    """Return how long a receipt of Twilio's is waited for before it is asked."""
    return _RECEIPT_LOST_S if account.hears_back else _RECEIPT_THERE_S


def ask_about(account: TwilioAccount, delivery: Delivery) -> Receipt | None:
    """Ask Twilio what became of a text or a message by WhatsApp."""
    sent = call_twilio(account.client.messages(delivery.provider_id or "").fetch)
    return read_twilio(str(sent.status), str(sent.error_code or ""))


def is_since(created: Any, delivery: Delivery) -> bool:
    """Return whether the provider made something after our attempt began, clocks allowing."""
    if created is None or delivery.started_at is None:
        return True
    return bool(created >= delivery.started_at - _CLOCKS_APART)


def given(**options: Any) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


def call_twilio(request: Any, **options: Any) -> Any:
    """Make one request, and turn whatever goes wrong into an error of `DeliveryError`."""
    try:
        return request(**options)
    except TwilioRestException as error:
        code = str(error.code) if error.code else None
        if error.status in _UNAUTHORISED and error.code not in CODES:
            message = (
                "Twilio refuses the credentials: check PREVENANT_TWILIO_ACCOUNT_SID and _AUTH_TOKEN"
            )
            raise Throttled(message, code, retry_after_s=30.0) from None
        raise judge_code(error.code, error.msg) from None
    except requests.ConnectTimeout:
        message = "Twilio does not answer"
        raise Throttled(message) from None
    except requests.Timeout:
        message = "Twilio did not answer in time"
        raise Uncertain(message) from None
    except requests.ConnectionError as error:
        if never_connected(error):
            message = "Twilio cannot be reached"
            raise Throttled(message) from None
        message = "the connection to Twilio broke"
        raise Uncertain(message) from None
    except (requests.RequestException, TwilioException, ValueError, KeyError) as error:
        message = f"Twilio's answer cannot be read: {type(error).__name__}"
        raise Uncertain(message) from None


class _HonestHttpClient(TwilioHttpClient):  # type: ignore[misc]  # twilio ships no types
    """Tells "not now" and "perhaps" apart, which the status of an exception alone does not."""

    def request(self, *args: Any, **options: Any) -> Response:
        """Make a request; raise Throttled or Uncertain where the answer means that."""
        response = super().request(*args, **options)
        status = response.status_code
        if status in {_TOO_MANY, _UNAVAILABLE} and not _is_for_good(response.text):
            message = f"Twilio answers {status}: too much at once"
            raise Throttled(message, str(status), retry_after_s(response.headers or {}))
        if status >= _SERVER_ERROR:
            message = f"Twilio answers {status}"
            raise Uncertain(message, str(status))
        return response


def _is_for_good(text: str) -> bool:
    """Return whether an answer of "not now" has a code that no waiting helps with, as a day's limit."""
    try:
        answer = json.loads(text)
    except ValueError:
        return False
    code = answer.get("code") if isinstance(answer, dict) else None
    return isinstance(code, int) and code in CODES and CODES[code][0] != Verdict.RETRY
