"""SMS through a gateway over plain HTTP, as a file describes it.

Such a gateway cannot be asked what it took: what may have been taken is given to it again under the same
`{key}`, marked as a possible duplicate, and to no other provider.
"""

import hashlib
import hmac
import json
from typing import Any

import requests

from notify.gateway_file import Answers, Gateway, fill_in, text_at
from notify.http_answers import never_connected, retry_after_s
from notify.message import Delivery, Message
from notify.numbers import dialled
from prevenant.errors import (
    DeliveryError,
    OptedOut,
    Refused,
    Throttled,
    Uncertain,
    Unusable,
    WrongAddress,
)

_NOT_NOW = frozenset({408, 425, 429, 503})
_UNAUTHORISED = frozenset({401, 402, 403})
_SERVER_ERROR, _REDIRECT, _SUCCESS = 500, 300, 200
_MAX_ANSWER = 65_536


class GatewaySms:
    """Text messages through a described gateway. Raises the errors of `DeliveryError`."""

    knows_what_it_took = False

    def __init__(self, gateway: Gateway, public_url: str) -> None:
        self._gateway = gateway
        self._public_url = public_url
        self._session = requests.Session()
        # What the environment says of proxies and passwords is not for the gateway.
        self._session.trust_env = False

    @property
    def confirms(self) -> bool:
        """Receipts come where they are described, and where there is a public address."""
        return self._gateway.receipts is not None and bool(self._public_url)

    def send(self, delivery: Delivery, message: Message) -> str:
        """Hand over one text; return the gateway's identity for it, or the key where it gives none."""
        number = dialled(delivery.address)
        values = {
            "to": number,
            "to_digits": number.removeprefix("+"),
            "from": self._gateway.senders.for_text(number),
            "text": str(message.texts[delivery.channel]),
            "key": delivery.key,
            "receipts": self._receipts_url(delivery),
            "encoding": delivery.encoding,
        }
        fields = fill_in(self._gateway.fields, values)
        try:
            with self._session.request(
                self._gateway.method,
                self._gateway.url,
                headers={"User-Agent": "Prevenant", **self._gateway.headers},
                auth=self._gateway.login,
                timeout=self._gateway.timeout_s,
                allow_redirects=False,
                stream=True,
                **_content(self._gateway.body, fields),
            ) as response:
                return self._read(response) or delivery.key
        except requests.ConnectTimeout:
            reason = "the SMS gateway does not answer"
            raise Throttled(reason) from None
        except requests.Timeout:
            reason = "the SMS gateway did not answer in time"
            raise Uncertain(reason) from None
        except requests.ConnectionError as error:
            if never_connected(error):
                reason = "the SMS gateway cannot be reached"
                raise Throttled(reason) from None
            reason = "the connection to the SMS gateway broke"
            raise Uncertain(reason) from None
        except ValueError as error:
            reason = f"the SMS gateway cannot be called: {type(error).__name__}"
            raise Unusable(reason) from None
        except requests.RequestException as error:
            reason = f"the SMS gateway's answer cannot be read: {type(error).__name__}"
            raise Uncertain(reason) from None

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> None:
        """Return None: it cannot be asked."""
        del delivery, message, known

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _receipts_url(self, delivery: Delivery) -> str:
        receipts = self._gateway.receipts
        if receipts is None or not self._public_url:
            return ""
        proof = sign_key(receipts.secret, delivery.key)
        return f"{self._public_url}/webhooks/gateway/status?key={delivery.key}&proof={proof}"

    def _read(self, response: requests.Response) -> str:
        """Return the identity in an answer. Raises the error that it stands for."""
        status = response.status_code
        if status in _NOT_NOW:
            advice = retry_after_s(response.headers)
            reason = f"the SMS gateway answers {status}: not now"
            raise Throttled(reason, str(status), advice)
        if status >= _SERVER_ERROR:
            reason = f"the SMS gateway answers {status}"
            raise Uncertain(reason, str(status))
        if _SUCCESS <= status < _REDIRECT:
            answers, answer = self._gateway.answers, _read_json(response)
            error = judge_answer(answers, answer)
            if error is not None:
                raise error
            if answers.taken and not text_at(answers.code, answer):
                reason = "the SMS gateway does not say whether it has taken it"
                raise Uncertain(reason)
            return text_at(answers.id, answer)
        error = judge_answer(self._gateway.answers, _read_json(response))
        if error is not None:
            raise error
        if status in _UNAUTHORISED:
            reason = f"the SMS gateway answers {status}: check the credentials in its file"
            raise Unusable(reason, str(status))
        reason = f"the SMS gateway refuses it with {status}"
        raise Refused(reason, str(status))


def judge_answer(answers: Answers, answer: Any) -> DeliveryError | None:
    """Return the error that an answer's code stands for; None where it has none, or was taken."""
    code = text_at(answers.code, answer)
    if not code or code in answers.taken:
        return None
    if code in answers.later:
        return Throttled(f"the SMS gateway does not take it now (code {code})", code)
    if code in answers.wrong_address:
        return WrongAddress(f"the SMS gateway knows nobody under it (code {code})", code)
    if code in answers.opted_out:
        return OptedOut(f"the contact has told the SMS gateway to stop (code {code})", code)
    if code in answers.account:
        return Unusable(f"the SMS gateway cannot send it for us (code {code})", code)
    return Refused(f"the SMS gateway refuses it (code {code})", code) if answers.taken else None


def sign_key(secret: str, key: str) -> str:
    """Return what proves that a receipt's address was given out by us, for this delivery."""
    return hmac.new(secret.encode(), f"receipt:{key}".encode(), hashlib.sha256).hexdigest()


def _content(body: str, fields: Any) -> dict[str, Any]:
    match body:
        case "json":
            return {"json": fields}
        case "query":
            return {"params": fields}
    return {"data": fields}


def _read_json(response: requests.Response) -> Any:
    """Return the answer as JSON; None where it is none, or none of a moderate size."""
    body = b""
    for chunk in response.iter_content(8_192):
        body += chunk
        if len(body) > _MAX_ANSWER:
            return None
    try:
        return json.loads(body or b"null")
    except (ValueError, RecursionError):
        return None
