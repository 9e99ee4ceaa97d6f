"""A telephone carrier: answers Twilio's Messages and Calls API, and holds the phones behind it.

It speaks the 2010-04-01 API well enough for Twilio's own client: creating and listing messages and
calls, basic authentication, errors with Twilio's codes, signed receipts, signed inbound messages,
calls whose TwiML is followed. It can be told to refuse, and keeps everything that it was sent.
"""

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree as ET

import requests
from twilio.request_validator import RequestValidator

from prevenant.clock import Clock, SystemClock
from simulators.people import Answer

_ROUTE = re.compile(r"/2010-04-01/Accounts/(\w+)/(Messages|Calls)(?:/(\w+))?\.json")
_NUMBER = re.compile(r"(?:whatsapp:)?\+[1-9]\d{6,14}")
_CALLBACK_TIMEOUT_S = 30.0
_PAGE_SIZE = 50
_WITHHELD_S = 60.0
_MOST_KEYS = 5
_GSM_SEGMENT, _GSM_SEGMENTS = 160, 153


@dataclass
class Sent:
    """A message or a call that the carrier has accepted."""

    kind: str
    """`Messages` or `Calls`."""
    sid: str
    sender: str
    to: str
    body: str
    """The text; of a call what was spoken."""
    created_at: datetime
    status: str = "queued"
    callback: str = ""
    twiml: str = ""
    amd_callback: str = ""
    """Where it is told who has answered a call, a person or a machine."""
    answered_by: str | None = None
    detects_machines: bool = False
    error_code: int | None = None
    ended_at: datetime | None = None
    keys: list[str] = field(default_factory=list)
    """What was pressed in a call."""


@dataclass
class Refusal:
    """How requests to create something are refused for a while."""

    status: int
    """4xx or 5xx; 0 accepts, and then answers too late for any client to wait."""
    times: int
    retry_after_s: int | None = None
    code: int = 0
    """Twilio's code, where it is another than the status has."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A text that a phone is going to send."""

    number: str
    to: str
    text: str
    at: datetime


class Carrier:
    """A carrier on a port of 127.0.0.1. What people answer is given as functions of what they are told."""

    def __init__(
        self,
        clock: Clock | None = None,
        account: str = "AC" + "0" * 32,
        token: str = "carrier-token",  # noqa: S107  a simulator's
        port: int = 0,
    ) -> None:
        self.account = account
        self.token = token
        self.sent: list[Sent] = []
        self.inbound_url = ""
        """Where texts from phones are delivered, as set for a number at Twilio."""
        self.answers_to: Callable[[str, str], list[Answer]] = lambda _text, _number: []
        self.key_for: Callable[[str, str], str | None] = lambda _spoken, _number: None
        self.unreachable: set[str] = set()
        """Numbers to which nothing can be delivered."""
        self.codes: dict[str, int] = {}
        """Why nothing can be delivered to a number, where it is not 30003."""
        self.voicemails: set[str] = set()
        """Numbers at which a machine answers calls."""
        self.loses_receipts = False
        self._clock = clock or SystemClock()
        self._refusals: list[Refusal] = []
        self._changed = threading.Condition()
        self._timers: set[threading.Timer] = set()
        self._expected: list[Expected] = []
        self._closing = threading.Event()
        handler = type("Handler", (_Handler,), {"carrier": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """The base URL to give to the engine."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> "Carrier":
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Hang up."""
        self._closing.set()
        for timer in list(self._timers):
            timer.cancel()
        self._server.shutdown()
        self._server.server_close()

    def refuse(
        self, status: int, times: int = 1, retry_after_s: int | None = None, code: int = 0
    ) -> None:
        """Refuse the next `times` requests to create something; status 0 accepts but never answers."""
        self._refusals.append(Refusal(status, times, retry_after_s, code))

    def sent_to(self, number: str, kind: str = "Messages") -> list[Sent]:
        """Return what was accepted for a number, oldest first."""
        with self._changed:
            return [one for one in self.sent if one.to == number and one.kind == kind]

    def wait_for(self, found: Callable[[], Any], timeout_s: float) -> Any:
        """Wait until `found` returns something true, and return that; else its last answer."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not (result := found()) and (rest := deadline - time.monotonic()) > 0:
                self._changed.wait(min(rest, 0.2))
        return result

    def text_from(self, number: str, text: str, to: str = "+33939980000") -> str:
        """Send a text from a phone to us; return its SID once it has been delivered to the engine."""
        sid = "SM" + secrets.token_hex(16)
        fields = {
            "MessageSid": sid,
            "AccountSid": self.account,
            "From": number,
            "To": to,
            "Body": text,
            "NumMedia": "0",
        }
        self._post(self.inbound_url, fields)
        return sid

    def expected(self) -> list[Expected]:
        """Return what people are going to answer, to give it to the `expect` of a later carrier."""
        with self._changed:
            return list(self._expected)

    def expect(self, answer: Expected) -> None:
        """Let a phone send a text when its time has come."""
        with self._changed:
            self._expected.append(answer)

        def send() -> None:
            self.text_from(answer.number, answer.text, to=answer.to)
            with self._changed:
                self._expected.remove(answer)

        self._later(max(0.0, (answer.at - self._clock.now()).total_seconds()), send)

    def accept(self, kind: str, fields: dict[str, str]) -> Sent:
        """Take something to deliver."""
        body = fields.get("Body") or _filled(fields.get("ContentVariables", ""))
        twiml = fields.get("Twiml", "")
        one = Sent(
            kind,
            ("SM" if kind == "Messages" else "CA") + secrets.token_hex(16),
            fields["From"],
            fields["To"],
            body or " ".join(_spoken(twiml)),
            self._clock.now().replace(microsecond=0),
            callback=fields.get("StatusCallback", ""),
            twiml=twiml,
            amd_callback=fields.get("AsyncAmdStatusCallback", ""),
            detects_machines=fields.get("MachineDetection") == "Enable",
        )
        with self._changed:
            self.sent.append(one)
            self._changed.notify_all()
        self._later(0.0, lambda: self._deliver(one))
        return one

    def take_refusal(self) -> Refusal | None:
        """Return how the present request is refused, if it is."""
        with self._changed:
            while self._refusals and self._refusals[0].times <= 0:
                self._refusals.pop(0)
            if not self._refusals:
                return None
            self._refusals[0].times -= 1
            return self._refusals[0]

    def withhold(self) -> None:
        """Hold an answer back for longer than any client waits."""
        self._closing.wait(_WITHHELD_S)

    def _deliver(self, one: Sent) -> None:
        if one.kind == "Calls":
            self._call(one)
            return
        self._receipt(one, "sent")
        if one.to in self.unreachable:
            one.error_code = self.codes.get(one.to, 30003)
            self._receipt(one, "undelivered", ErrorCode=str(one.error_code))
            return
        self._receipt(one, "delivered")
        for answer in self.answers_to(one.body, one.to):
            at = self._clock.now() + timedelta(seconds=answer.after_s)
            self.expect(Expected(one.to, one.sender, answer.text, at))

    def _call(self, call: Sent) -> None:
        if call.to in self.unreachable:
            self._receipt(call, "no-answer")
            return
        fields = {
            "CallSid": call.sid,
            "AccountSid": self.account,
            "From": call.sender,
            "To": call.to,
            "CallStatus": "in-progress",
        }
        is_machine = call.to in self.voicemails
        if call.detects_machines:
            call.answered_by = "machine_start" if is_machine else "human"
        if call.amd_callback:
            self._post(call.amd_callback, {**fields, "AnsweredBy": call.answered_by or ""})
        heard, action = call.body, _action(call.twiml)
        # A person who is asked again answers again; nobody is asked for ever.
        for _ in range(_MOST_KEYS):
            key = None if is_machine else self.key_for(heard, call.to)
            if not key or not action:
                break
            call.keys.append(key)
            answer = self._post(action, {**fields, "Digits": key})
            heard, action = " ".join(_spoken(answer)), _action(answer)
            call.body += f" {heard}"
        more = {"AnsweredBy": call.answered_by} if call.answered_by else {}
        self._receipt(call, "completed", **more)

    def _receipt(self, one: Sent, status: str, **more: str) -> None:
        with self._changed:
            one.status = status
            one.ended_at = None if status == "sent" else self._clock.now()
            self._changed.notify_all()
        if not one.callback or self.loses_receipts:
            return
        calls = one.kind == "Calls"
        fields = {
            "CallSid" if calls else "MessageSid": one.sid,
            "CallStatus" if calls else "MessageStatus": status,
            "AccountSid": self.account,
            "From": one.sender,
            "To": one.to,
            **more,
        }
        self._post(one.callback, fields)

    def _post(self, url: str, fields: dict[str, str]) -> str:
        """Call one of our webhooks, signed; Twilio does not try again, so neither do we."""
        if not url:
            return ""
        signature = RequestValidator(self.token).compute_signature(url, fields)
        try:
            answer = requests.post(
                url,
                data=fields,
                headers={"X-Twilio-Signature": signature},
                timeout=_CALLBACK_TIMEOUT_S,
            )
        except requests.RequestException:
            return ""
        return answer.text if answer.ok else ""

    def _later(self, after_s: float, work: Callable[[], object]) -> None:
        """Do something after some seconds of the carrier's clock."""
        real = after_s / getattr(self._clock, "speed", 1.0)

        def run() -> None:
            self._timers.discard(timer)
            if not self._closing.is_set():
                work()

        timer = threading.Timer(real, run)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()


class _Handler(BaseHTTPRequestHandler):
    """Twilio's side of HTTP."""

    carrier: Carrier
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body would wait 40 ms for its head's acknowledgement

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        fields = {k: v[-1] for k, v in parse_qs(self.rfile.read(length).decode()).items()}
        route = self._route()
        if route is None:
            return
        refusal = self.carrier.take_refusal()
        if refusal is not None and refusal.status:
            advice = refusal.retry_after_s
            headers = {"Retry-After": str(advice)} if advice is not None else {}
            usual = 20429 if refusal.status == 429 else 20500  # noqa: PLR2004  Twilio's codes
            self._error(
                refusal.status, refusal.code or usual, "Too Many Requests or Server Error", headers
            )
            return
        kind = route[2]
        problem = _problem(kind, fields)
        if problem is not None:
            self._error(400, *problem)
            return
        one = self.carrier.accept(kind, fields)
        if refusal is not None:
            self.carrier.withhold()
            self.close_connection = True
            return
        self._answer(201, self._view(one))

    def do_GET(self) -> None:
        route = self._route()
        if route is None:
            return
        kind = route[2]
        with self.carrier._changed:
            found = [one for one in self.carrier.sent if one.kind == kind]
        if route[3]:
            one = next((one for one in found if one.sid == route[3]), None)
            if one is None:
                self._error(404, 20404, "The requested resource was not found")
            else:
                self._answer(200, self._view(one))
            return
        query = {k: v[-1] for k, v in parse_qs(urlsplit(self.path).query).items()}
        found = [
            one
            for one in reversed(found)
            if query.get("To", one.to) == one.to and query.get("From", one.sender) == one.sender
        ]
        self._answer(200, self._page(kind, found, query))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Say nothing: numbers do not belong in a log."""

    def _route(self) -> re.Match[str] | None:
        route = _ROUTE.fullmatch(urlsplit(self.path).path)
        if route is None:
            self._error(404, 20404, "The requested resource was not found")
            return None
        expected = base64.b64encode(f"{self.carrier.account}:{self.carrier.token}".encode())
        if self.headers.get("Authorization") != f"Basic {expected.decode()}":
            self._error(401, 20003, "Authenticate")
            return None
        if route[1] != self.carrier.account:
            self._error(404, 20404, "The requested resource was not found")
            return None
        return route

    def _page(self, kind: str, found: list[Sent], query: dict[str, str]) -> dict[str, Any]:
        size = int(query.get("PageSize", _PAGE_SIZE))
        page = int(query.get("Page", 0))
        shown = found[page * size : (page + 1) * size]
        path = f"/2010-04-01/Accounts/{self.carrier.account}/{kind}.json"

        def uri(number: int) -> str:
            return f"{path}?{urlencode({**query, 'PageSize': size, 'Page': number})}"

        return {
            kind.lower(): [self._view(one) for one in shown],
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + max(0, len(shown) - 1),
            "uri": uri(page),
            "first_page_uri": uri(0),
            "next_page_uri": uri(page + 1) if len(found) > (page + 1) * size else None,
            "previous_page_uri": uri(page - 1) if page else None,
        }

    def _view(self, one: Sent) -> dict[str, Any]:
        made = format_datetime(one.created_at)
        base = f"/2010-04-01/Accounts/{self.carrier.account}/{one.kind}/{one.sid}"
        shared = {
            "sid": one.sid,
            "account_sid": self.carrier.account,
            "api_version": "2010-04-01",
            "to": one.to,
            "from": one.sender,
            "status": one.status,
            "direction": "outbound-api",
            "date_created": made,
            "date_updated": made,
            "price": None,
            "price_unit": "USD",
            "uri": f"{base}.json",
        }
        if one.kind == "Messages":
            return shared | {
                "body": one.body,
                "date_sent": made if one.status != "queued" else None,
                "error_code": one.error_code,
                "error_message": "Unreachable destination handset" if one.error_code else None,
                "messaging_service_sid": None,
                "num_media": "0",
                "num_segments": str(_segments(one.body)),
                "subresource_uris": {"media": f"{base}/Media.json"},
            }
        return shared | {
            "to_formatted": one.to,
            "from_formatted": one.sender,
            "phone_number_sid": "PN" + "0" * 32,
            "parent_call_sid": None,
            "start_time": made,
            "end_time": format_datetime(one.ended_at) if one.ended_at else None,
            "duration": "20" if one.status == "completed" else None,
            "answered_by": one.answered_by,
            "forwarded_from": None,
            "group_sid": None,
            "caller_name": None,
            "queue_time": "0",
            "trunk_sid": None,
            "subresource_uris": {"recordings": f"{base}/Recordings.json"},
        }

    def _error(
        self, status: int, code: int, message: str, headers: dict[str, str] | None = None
    ) -> None:
        more = f"https://www.twilio.com/docs/errors/{code}"
        body = {"code": code, "message": message, "more_info": more, "status": status}
        self._answer(status, body, headers)

    def _answer(
        self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


def _problem(kind: str, fields: dict[str, str]) -> tuple[int, str] | None:
    """Return Twilio's code and words for what is wrong with a request to create something."""
    if not fields.get("To"):
        return 21604, "A 'To' phone number is required."
    if not _NUMBER.fullmatch(fields["To"]):
        return 21211, f"The 'To' number {fields['To']} is not a valid phone number."
    if not fields.get("From") and not fields.get("MessagingServiceSid"):
        return 21603, "A 'From' phone number is required."
    if kind == "Messages" and not fields.get("Body") and not fields.get("ContentSid"):
        return 21602, "Message body is required."
    if kind == "Messages" and len(fields.get("Body", "")) > 1600:  # noqa: PLR2004  Twilio's limit
        return 21617, "The concatenated message body exceeds the 1600 character limit."
    if kind == "Calls" and not fields.get("Twiml") and not fields.get("Url"):
        return 21205, "Url parameter is required."
    return None


def _filled(variables: str) -> str:
    """Return what an approved template makes of its variables: each template is `1, thank you.`."""
    return f"{json.loads(variables)['1']}, thank you." if variables else ""


def _segments(text: str) -> int:
    """Return how many segments a text takes, all of its characters being of the GSM alphabet."""
    return 1 if len(text) <= _GSM_SEGMENT else -(-len(text) // _GSM_SEGMENTS)


def _spoken(twiml: str) -> list[str]:
    """Return the texts that a TwiML document says."""
    try:
        return [say.text or "" for say in ET.fromstring(twiml).iter("Say")]  # noqa: S314  ours
    except ET.ParseError:
        return []


def _action(twiml: str) -> str:
    """Return where the keys pressed in a call are sent."""
    try:
        gather = ET.fromstring(twiml).find("Gather")  # noqa: S314  ours
    except ET.ParseError:
        return ""
    return gather.get("action", "") if gather is not None else ""
