"""Webhooks: what a case says to another system, signed, and given again until it was taken.

The receiver recomputes the signature: HMAC-SHA256 with the shared secret over the time, a full stop and
the body, `Prevenant-Signature: t=1777890000,v1=<hex>`, and refuses what is too old. What may have been
taken is given again under the same `Prevenant-Delivery`, by which the receiver knows it.
"""

import hashlib
import hmac
import json
import re
from datetime import datetime
from typing import Any

import requests

from notify.http_answers import never_connected, retry_after_s
from notify.message import Delivery, Message
from prevenant.clock import Clock, epoch_seconds
from prevenant.errors import Refused, Throttled, Uncertain
from prevenant.settings import Settings

TIMEOUT_S = 10.0
_MAX_ANSWER = 65_536
_FRESH_S = 300
_SIGNATURE = re.compile(r"t=(\d{1,12}),v1=[0-9a-f]{64}", re.ASCII)
_NOT_NOW = frozenset({408, 425, 429})
_SERVER_ERROR, _REDIRECT, _SUCCESS = 500, 300, 200


class Webhook:
    """Signed calls of other systems. Raises the errors of `DeliveryError`."""

    confirms = False

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._secret = settings.webhook_secret.get_secret_value()
        self._clock = clock
        self._session = requests.Session()
        # What the environment says of proxies and passwords is not for the receiver.
        self._session.trust_env = False

    def send(self, delivery: Delivery, message: Message) -> str:
        """Post the body once; what the receiver answers, where it is an object, is kept beside it."""
        body = str(message.texts[delivery.channel]).encode()
        at = int(epoch_seconds(self._clock.now()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Prevenant",
            "Prevenant-Delivery": delivery.key,
            "Prevenant-Signature": sign(self._secret, at, body),
        }
        try:
            with self._session.post(
                delivery.address,
                data=body,
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,
            ) as response:
                _judge(response)
                delivery.answer = _read_answer(response)
        except requests.ConnectTimeout:
            reason = "the webhook does not answer"
            raise Throttled(reason) from None
        except requests.Timeout:
            reason = "the webhook did not answer in time"
            raise Uncertain(reason) from None
        except requests.ConnectionError as error:
            if never_connected(error):
                reason = "the webhook cannot be reached"
                raise Throttled(reason) from None
            reason = "the webhook broke off"
            raise Uncertain(reason) from None
        except ValueError as error:
            reason = f"the webhook cannot be called: {type(error).__name__}"
            raise Refused(reason) from None
        except requests.RequestException as error:
            reason = f"the webhook's answer cannot be read: {type(error).__name__}"
            raise Uncertain(reason) from None
        return delivery.key

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> None:
        """Return None: what the receiver has taken it knows by its key, and it is given again."""
        del delivery, message, known

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def sign(secret: str, at: int, body: bytes) -> str:
    """Return the header that proves who sent `body`, at a time in seconds since 1970."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def is_signed(secret: str, header: str, body: bytes, now: datetime) -> bool:
    """Return whether `body` was signed with the secret, less than five minutes ago or ahead."""
    match = _SIGNATURE.fullmatch(header)
    if match is None:
        return False
    at = int(match[1])
    is_fresh = abs(epoch_seconds(now) - at) <= _FRESH_S
    return is_fresh and hmac.compare_digest(sign(secret, at, body), header)


def _judge(response: requests.Response) -> None:
    status = response.status_code
    code = str(status)
    if status in _NOT_NOW or status >= _SERVER_ERROR:
        message = f"the webhook answers {status}: not now"
        raise Throttled(message, code, retry_after_s(response.headers))
    if not _SUCCESS <= status < _REDIRECT:
        message = f"the webhook refuses it with {status}"
        raise Refused(message, code)


def _read_answer(response: requests.Response) -> dict[str, Any]:
    """Return the answer where it is a JSON object of a moderate size; anything else is none."""
    body = b""
    for chunk in response.iter_content(8_192):
        body += chunk
        if len(body) > _MAX_ANSWER:
            return {}
    try:
        answer = json.loads(body or b"{}")
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
