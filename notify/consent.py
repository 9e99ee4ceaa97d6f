"""Who does not want to be told on which channel, with the words that prove it."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import bindparam
from sqlmodel import Field, Session, col, select

from prevenant.consent import GRANTED, WITHDRAWN, Consent, find_words, newest_word
from prevenant.rows import TableRow
from prevenant.senders import country_of
from prevenant.tables import utc_column

_POLITE = re.compile(
    r"\b(s il (vous|te) plait|please|pls|plz|svp|s v p|stp|s t p|merci( (beaucoup|bien|bcp|d avance))?"
    r"|mrc|thanks|thx|thank you( (so|very) much)?|now|maintenant)\b"
)
_BESIDE = re.compile(
    r"\b(bonjour|bonsoir|salut|hello|hi|hey|dear|madame|monsieur|messieurs|sir|ok|okay|et|and"
    r"|cordialement|bonne journee|(best |kind )?regards"
    r"|(wrong|mauvaise?|faux) (number|numero|personn?e?)|erreur de numero"
    r"|not interested|pas interessee?)\b"
)
"""What may stand beside STOP without saying more than it."""
_MESSAGES = r"(messages?|msgs?|notifications?|notifs?|sms|textos?|texts?|pubs?|publicites?|spams?)"
_TEXTS = r"(sms|textos?|texts|text messages)"
_MAILS = re.compile(r"\b(e )?(mails?|courriels?|emails?)\b")
_SAYS_STOP = (
    (
        r"(stop{1,2}|s t o p|stops|stopall|stoppe[rz]?|unsub(scribe)?|unsuscribe|unsubcribe"
        r"|opt ?out|revoke|arret|arrete[rsz]?"
        r"|desabonne[rz]|desinscrire|desinscrivez|desabonnement|desinscription)"
        r"( (all|it|this|that|them|these|everything|tout|moi|me|ca|cela|\d+|(au|a) (tout|\d+)"
        rf"|((les|vos|ces|des|aux|the|these|those|your|all) )*{_MESSAGES}"
        r"|from (this|the|your) list|de (votre|la|cette) liste"
        r"|(sending|texting|messaging|writing|contacting)( to)?( (me|us|this number))?))*"
    ),
    (
        r"(arrete[rsz]?|cesse[rz]?) (de|d) (m|nous|me) (ecrire|contacter|envoyer|deranger|harceler)"
        r"( (des|vos|ces))?( \w+)?"
    ),
    r"(do not|don t|dont) (text|message|contact|write to|write|sms) me( any ?more| again| ever)*",
    rf"no more {_MESSAGES}",
    rf"(no|pas de|aucun) {_TEXTS}",
    rf"n envoyez (plus|pas) ((de|d|vos|ces|aucun) )?{_MESSAGES}",
    rf"i no longer (want|wish)( to (get|receive))?( (any|more|your|these))* {_MESSAGES}",
    r"i (no longer|do not|don t|dont) (want|wish) to be (contacted|texted|messaged)( any ?more| again)?",
    (
        r"je (ne )?(souhaite|desire|veux) (plus|pas) (recevoir|etre contactee?)"
        rf"( ((de|d|vos|ces|des|aucun) )?{_MESSAGES}| par (sms|textos?))?"
    ),
    rf"i (do not|don t|dont) want ((any|more|to (get|receive)|your|these) )*{_MESSAGES}( any ?more)?",
    r"i (want|wish|would like|d like) to (unsubscribe|opt out)",
    r"(take|remove) (me|my number)( (off|from)( (your|the|this) list)?)?",
    r"opt me out",
    (
        rf"ne (m|me|nous) (ecrivez|contactez|envoyez|derangez) (plus|pas)( jamais)?"
        rf"( (rien|(de|d|vos|ces|aucun) {_MESSAGES}))?"
    ),
    (
        rf"(de )?ne (plus|pas) (m|me|nous) (ecrire|contacter|envoyer|deranger)"
        rf"( (rien|(de|d|vos|ces|aucun) {_MESSAGES}))?"
    ),
    rf"(plus|je (ne )?veux (plus|pas)) (de|aucun|recevoir (de|d|vos|ces|des|aucun)) {_MESSAGES}",
    r"((je (veux|voudrais|souhaite) )?me )(desabonner|desinscrire)|je me (desabonne|desinscris)",
    r"(retirez|supprimez|enlevez) (moi|mon numero)( de (votre|la|cette) liste)?",
)
_STOP = re.compile(rf"({'|'.join(_SAYS_STOP)})( ({'|'.join(_SAYS_STOP)}))*")
_CALLS = (
    r"((les|vos|ces|the|these|your|all|phone|tous) )*(phone ?)?(calls?|appels?)( telephoniques?)?"
)
_ANY_MORE = r"( any ?more| again| ever| jamais| please)*"
_SAYS_NO_CALLS = (
    rf"stop (calling|phoning|ringing)( (me|us|this number))?{_ANY_MORE}",
    rf"(do not|don t|dont|never) (call|phone|ring) (me|us|this number)( by phone)?{_ANY_MORE}",
    rf"(stop|no|no more|plus|plus d|pas d|arretez|stop aux) {_CALLS}",
    (
        r"i (do not|don t|dont|no longer) (want|wish) (any |more |your |to (get|receive) )*"
        rf"{_CALLS}{_ANY_MORE}"
    ),
    rf"i (do not|don t|dont|no longer) (want|wish) to be (called|phoned){_ANY_MORE}",
    r"(d |de )?(arrete[rsz]?|cesse[rz]?) (de|d) (m|nous|me) (appeler|rappeler|telephoner)",
    rf"(de )?ne (m|me|nous) (appelez|rappelez|telephonez) (plus|pas){_ANY_MORE}",
    rf"(de )?ne (plus|pas) (m|me|nous) (appeler|rappeler|telephoner){_ANY_MORE}",
    rf"je (ne )?(souhaite|desire|veux) (plus|pas) (d |recevoir (d |vos |des ))?{_CALLS}",
    r"je (ne )?(souhaite|desire|veux) (plus|pas) etre (appelee?|rappelee?|contactee? par telephone)",
)
_NO_CALLS = re.compile(rf"({'|'.join(_SAYS_NO_CALLS)})( ({'|'.join(_SAYS_NO_CALLS)}))*")
_FOR_NOW = frozenset({"now", "maintenant"})
_LONGEST_STOP = 16
"""Whoever says more words means more than that."""
_STOP_ALONE = frozenset({"cancel", "end", "quit"})
"""What carriers take for STOP in a text where nothing else is said; "cancel the visit" means the visit."""
_START = frozenset(
    {"start", "unstop", "resubscribe", "subscribe", "reprendre", "reprenez", "reabonner"}
)
_HELP = frozenset({"help", "aide", "info", "infos", "information", "informations"})


RequiredConsent = Mapping[str, frozenset[str]]
"""The channels on which nothing is said without consent, and in which countries; none is everywhere."""


class OptOut(TableRow, table=True):
    """An address that is not to be written to on a channel."""

    __tablename__ = "opt_out"

    channel: str = Field(primary_key=True)
    address: str = Field(primary_key=True)
    since: datetime = utc_column()
    proof: str
    """What the person said."""


def plain_words(text: str) -> list[str]:
    """Return the words of a reply in lower case, without accents and punctuation."""
    bare = unicodedata.normalize("NFKD", text.lower())
    bare = "".join(c for c in bare if not unicodedata.combining(c))
    return re.findall(r"[a-z0-9]+", bare)


def wants_stop(text: str, channel: str = "sms") -> bool:
    """Return whether a reply says STOP or its kin, alone, politely, or in a few words that mean it."""
    said = _plainly(text)
    if channel == "sms" and said in _STOP_ALONE:
        return True
    if channel == "email":
        said = _MAILS.sub("messages", said)
    words = _BESIDE.sub(" ", said).split()
    return 0 < len(words) <= _LONGEST_STOP and _STOP.fullmatch(" ".join(words)) is not None


def wants_no_calls(text: str) -> bool:
    """Return whether a reply ends calls, and nothing but calls."""
    if not _FOR_NOW.isdisjoint(plain_words(text)):
        return False
    words = _BESIDE.sub(" ", _plainly(text)).split()
    return 0 < len(words) <= _LONGEST_STOP and _NO_CALLS.fullmatch(" ".join(words)) is not None


def wants_start(text: str) -> bool:
    """Return whether a reply takes STOP back."""
    return _plainly(text) in _START


def wants_help(text: str) -> bool:
    """Return whether a reply asks who we are; somebody who wants more than that says more."""
    return _plainly(text) in _HELP


def _plainly(text: str) -> str:
    """Return the words of a reply without what is merely polite."""
    return " ".join(_POLITE.sub(" ", " ".join(plain_words(text))).split())


def record_stop(session: Session, channel: str, address: str, proof: str, now: datetime) -> None:
    """Write nothing more to `address` on `channel`."""
    address = _one_spelling(channel, address)
    if session.get(OptOut, (channel, address)) is None:
        session.add(OptOut(channel=channel, address=address, since=now, proof=proof[:200]))


def record_start(session: Session, channel: str, address: str) -> None:
    """Allow `channel` to `address` again."""
    for one in _known_as(channel, address):
        known = session.get(OptOut, (channel, one))
        if known is not None:
            session.delete(known)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What some contacts have said about being told, looked up together."""

    stops: frozenset[tuple[str, str]]
    """The channels and addresses that are not to be written to, as they are kept."""
    words: Sequence[Consent]
    """What they have said of channels, the newest first."""

    def has_opted_out(self, channel: str, address: str) -> bool:
        """Return whether nothing may go to `address` on `channel`."""
        return any((channel, known) in self.stops for known in _known_as(channel, address))

    def find_objection(self, channel: str, address: str, contact_id: str) -> str:
        """Return why nothing may be said to a contact on a channel, or nothing where it may."""
        if self.has_opted_out(channel, address):
            return "the contact has opted out"
        word = newest_word(self.words, contact_id, channel)
        if word is None or word.state != WITHDRAWN:
            return ""
        where = f" ({word.source})" if word.source else ""
        return f"the contact has withdrawn consent for {word.channel} on {word.at:%Y-%m-%d}{where}"

    def find_missing_consent(
        self, required: RequiredConsent, channel: str, address: str, contact_id: str
    ) -> str:
        """Return that a contact has not agreed to a channel that asks for it, or nothing."""
        countries = required.get(channel)
        if countries is None or (countries and country_of(address) not in countries):
            return ""
        word = newest_word(self.words, contact_id, channel)
        if word is not None and word.state == GRANTED:
            return ""
        return f"the contact has not agreed to {channel}, which PREVENANT_CONSENT_REQUIRED asks for"


def find_wishes(
    session: Session, addresses: Iterable[tuple[str, str]], contact_ids: Collection[str]
) -> Wishes:
    """Return what was said by those who are reached at some channels' addresses."""
    known = {
        (channel, one) for channel, address in addresses for one in _known_as(channel, address)
    }
    params = {
        "channels": list({channel for channel, _ in known}),
        "addresses": list({address for _, address in known}),
    }
    rows = session.exec(_STOPS, params=params)
    return Wishes(frozenset((one, other) for one, other in rows), find_words(session, contact_ids))


_STOPS = select(OptOut.channel, OptOut.address).where(
    col(OptOut.channel).in_(bindparam("channels", expanding=True)),
    col(OptOut.address).in_(bindparam("addresses", expanding=True)),
)


def has_opted_out(session: Session, channel: str, address: str) -> bool:
    """Return whether nothing may go to `address` on `channel`."""
    return find_wishes(session, [(channel, address)], []).has_opted_out(channel, address)


def find_objection(session: Session, channel: str, address: str, contact_id: str) -> str:
    """Return why nothing may be said to a contact on a channel, or nothing where it may."""
    wishes = find_wishes(session, [(channel, address)], [contact_id])
    return wishes.find_objection(channel, address, contact_id)


def read_required(text: str) -> RequiredConsent:
    """Return the channels that `sms:DE+AT, voice` names, each with its countries; none is everywhere."""
    found: dict[str, frozenset[str]] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        channel, _, countries = one.partition(":")
        found[channel] = frozenset(filter(None, countries.split("+")))
    return found


def _known_as(channel: str, address: str) -> list[str]:
    """Return under which addresses a STOP may stand: as it was before spellings were one, too."""
    plain = _one_spelling(channel, address)
    spellings = dict.fromkeys([plain, address])
    return [*spellings, *(digest_address(one) for one in spellings)]


def _one_spelling(channel: str, address: str) -> str:
    """Return an address as it is kept: mail programs write capitals as they like."""
    return address.lower() if channel == "email" else address


def digest_address(address: str) -> str:
    """Return what is kept of the address of somebody who was erased, so that STOP still holds."""
    return f"sha256:{sha256(address.encode()).hexdigest()}"
