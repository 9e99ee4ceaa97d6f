"""Voice calls through Twilio: the text is spoken in the contact's language, a key is the answer."""

from twilio.twiml.voice_response import Gather, VoiceResponse

from notify.message import Delivery, Message
from notify.numbers import dialled
from notify.receipts import Receipt, read_twilio
from notify.sms import TwilioAccount, ask_after_s, call_twilio, given, is_since
from notify.visible import cut

PERSON_KEY = "9"
MOST_TRIES = 3
"""How often somebody is asked again who presses a key that means nothing."""

_LOOKED_THROUGH = 50
_RING_S = 30
_KEY_WAIT_S = 6
_MAX_TWIML = 4_000
_LONGEST = (1_500, 1_000, 600, 300)
_VOICES = {
    "ca": "ca-ES",
    "da": "da-DK",
    "de": "de-DE",
    "en": "en-GB",
    "es": "es-ES",
    "fi": "fi-FI",
    "fr": "fr-FR",
    "it": "it-IT",
    "ja": "ja-JP",
    "ko": "ko-KR",
    "nb": "nb-NO",
    "nl": "nl-NL",
    "no": "nb-NO",
    "pl": "pl-PL",
    "pt": "pt-PT",
    "ru": "ru-RU",
    "sv": "sv-SE",
    "zh": "zh-CN",
}
"""The languages that Twilio says without further settings."""
_WORDS = {
    "en": {
        "thanks": "Thank you.",
        "person": "Press 9 to speak to a person.",
        "connected": "You are being connected.",
        "called_back": "Thank you. A person will call you back.",
        "again": "Sorry, that key means nothing here.",
    },
    "fr": {
        "thanks": "Merci.",
        "person": "Tapez 9 pour parler à quelqu'un.",
        "connected": "Nous vous mettons en relation.",
        "called_back": "Merci. Quelqu'un vous rappellera.",
        "again": "Désolé, cette touche ne correspond à rien.",
    },
}


class Voice:
    """Telephone calls. Raises the errors of `DeliveryError`."""

    knows_what_it_took = True

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
            to=dialled(delivery.address),
            from_=self._account.senders.for_call(delivery.address),
            twiml=self._twiml(delivery, message),
            timeout=_RING_S,
            **given(status_callback=self._account.callback("status", delivery)),
            **self._machine_detection(delivery),
        )
        return str(call.sid)

    def ask_after_s(self, _: Delivery) -> float:
        """Return how soon Twilio is asked: where it can bring a receipt, only once it may be lost."""
        return ask_after_s(self._account)

    def ask(self, delivery: Delivery) -> Receipt | None:
        """Ask Twilio what became of a call."""
        call = call_twilio(self._account.client.calls(delivery.provider_id or "").fetch)
        return read_twilio(str(call.status), answered_by=str(call.answered_by or ""))

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look through Twilio's list for a call that we may have ordered."""
        del message
        calls = call_twilio(
            self._account.client.calls.list, to=dialled(delivery.address), limit=_LOOKED_THROUGH
        )
        for call in calls:
            if call.sid not in known and is_since(call.date_created, delivery):
                return str(call.sid)
        return None

    def close(self) -> None:
        """Give back the account's connections."""
        self._account.close()

    def _machine_detection(self, delivery: Delivery) -> dict[str, str]:
        """Have Twilio tell whether a machine answers, while a person hears us already."""
        told = self._account.callback("answered", delivery)
        return {
            "machine_detection": "Enable",
            "async_amd": "true",
            **given(async_amd_status_callback=told),
        }

    def _twiml(self, delivery: Delivery, message: Message) -> str:
        answer = self._account.callback("voice", delivery) if message.ask else None
        return call_twiml(message, answer)


def call_twiml(message: Message, answer: str | None, before: str = "") -> str:
    """Return what a call says, twice; `answer` is where a key goes, `before` is said first.

    What Twilio would not take is shortened: its documents have 4,000 characters at most.
    """
    text = str(message.texts["voice"])
    versions = (_call(message, cut(text, longest), answer, before) for longest in _LONGEST)
    return next((one for one in versions if len(one) <= _MAX_TWIML), "") or _call(
        message, cut(text, _LONGEST[-1] // 2), answer, before
    )


def _call(message: Message, text: str, answer: str | None, before: str) -> str:
    response = VoiceResponse()
    words, of_words = _words_of(message.language)
    language = _VOICES.get(message.language, of_words)
    if before:
        response.say(words[before], language=of_words)
    if answer is None:
        response.say(text, language=language)
        response.pause(length=1)
        response.say(text, language=language)
        return str(response)
    for _ in range(2):
        # On a scale up to ten a key may be the first of two.
        digits = {"num_digits": 1 if reaches_person(message.ask) else 2, "finish_on_key": "#"}
        gather = Gather(timeout=_KEY_WAIT_S, action=answer, method="POST", **digits)
        gather.say(text, language=language)
        if reaches_person(message.ask):
            gather.say(words["person"], language=of_words)
        response.append(gather)
    return str(response)


def reaches_person(ask: str | None) -> bool:
    """Return whether key 9 leads to a person; where 9 is an answer, it does not."""
    return ask != "nps"


def thanks_twiml(language: str) -> str:
    """Return what a caller hears after pressing a key."""
    return _last_words(language, "thanks")


def person_twiml(language: str, desk: str = "") -> str:
    """Return what somebody hears who wants a person: they are connected with the desk, or called back."""
    if not desk:
        return _last_words(language, "called_back")
    response = VoiceResponse()
    words, spoken = _words_of(language)
    response.say(words["connected"], language=spoken)
    response.dial(desk)
    # Reached where nobody at the desk takes it.
    response.say(words["called_back"], language=spoken)
    return str(response)


def _last_words(language: str, said: str) -> str:
    response = VoiceResponse()
    words, spoken = _words_of(language)
    response.say(words[said], language=spoken)
    response.hangup()
    return str(response)


def _words_of(language: str) -> tuple[dict[str, str], str]:
    known = language if language in _WORDS else "en"
    return _WORDS[known], _VOICES[known]
