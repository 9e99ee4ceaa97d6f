"""Voice calls through Twilio: the text is spoken in the contact's language, a key is the answer."""

from twilio.twiml.voice_response import Gather, VoiceResponse

from notify.message import Delivery, Message
from notify.receipts import Receipt, read_twilio
from notify.sms import TwilioAccount, ask_after_s, call_twilio, given, is_since

_LOOKED_THROUGH = 50
_RING_S = 30
_LANGUAGES = {"en": "en-GB", "fr": "fr-FR"}
_THANKS = {"en": "Thank you.", "fr": "Merci."}


class Voice:
    """Telephone calls. Raises the errors of `DeliveryError`."""

    def __init__(self, account: TwilioAccount) -> None:
        self._account = account

    @property
    def confirms(self) -> bool:
        """Receipts come where there is a public address."""
        return self._account.hears_back

    def send(self, delivery: Delivery, message: Message) -> str:
        """Have Twilio call; return the call's SID."""
        call = call_twilio(
            self._account.client.calls.create,
            to=delivery.address,
            from_=self._account.sender,
            twiml=self._twiml(delivery, message),
            timeout=_RING_S,
            **given(status_callback=self._account.callback("status", delivery)),
        )
        return str(call.sid)

    @property
    def ask_after_s(self) -> float:
        """How soon Twilio is asked for a receipt: where it can bring it, only once it may be lost."""
        return ask_after_s(self._account)

    def ask(self, delivery: Delivery) -> Receipt | None:
        """Ask Twilio what became of a call."""
        call = call_twilio(self._account.client.calls(delivery.provider_id or "").fetch)
        return read_twilio(str(call.status))

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look through Twilio's list for a call that we may have ordered."""
        del message
        calls = call_twilio(
            self._account.client.calls.list, to=delivery.address, limit=_LOOKED_THROUGH
        )
        for call in calls:
            if call.sid not in known and is_since(call.date_created, delivery):
                return str(call.sid)
        return None

    def close(self) -> None:
        """Give back the account's connections."""
        self._account.close()

    def _twiml(self, delivery: Delivery, message: Message) -> str:
        response = VoiceResponse()
        language = _LANGUAGES.get(message.language, "en-GB")
        text = message.texts[delivery.channel]
        answer = self._account.callback("voice", delivery)
        if message.ask and answer:
            for _ in range(2):
                gather = Gather(num_digits=1, timeout=6, action=answer, method="POST")
                gather.say(text, language=language)
                response.append(gather)
        else:
            response.say(text, language=language)
            response.pause(length=1)
            response.say(text, language=language)
        return str(response)


def thanks_twiml(language: str) -> str:
    """Return what a caller hears after pressing a key."""
    response = VoiceResponse()
    response.say(_THANKS.get(language, _THANKS["en"]), language=_LANGUAGES.get(language, "en-GB"))
    response.hangup()
    return str(response)
