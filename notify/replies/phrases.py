"""Phrases that say by themselves what is meant, in English and French, without accents.

Only what leaves no doubt stands here. Where a text says more than its phrase (a *but*, a *not*, a
condition), nothing is found, and the classifier looks at the whole.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from notify.replies.intents import (
    ACCEPT,
    ANGER,
    ARRIVED,
    CANCEL,
    CANNOT,
    COMPLAINT,
    DECLINE,
    DONE,
    EN_ROUTE,
    TALK,
    THANKS,
)

_NOT = r"\b(not|no|never|t|pas|jamais|aucune?|ne|n|nobody|personne|sans|without)\b"
_NOT_YET = (
    rf"{_NOT}|\b(almost|nearly|presque|soon|bientot|will|when|quand|sera|avant|before|if|si)\b"
)
_NO = (
    r"\b(no|non|nope|nan)\b"
    r"(?! (problem|probleme|worries|souci|issue|objection)s?\b)"
    r"|\b(pas|not) (ok|okay|d accord)\b"
)
_YES = r"\b(yes|yep|yeah|oui|ouais|ok|okay|d accord|bien sur|of course)\b"
_BOTH_WORDS = 8
"""In more words than so many a yes and a no may be about different things."""
_BUT = (
    r"\b(but|mais|however|cependant|sauf|except|unless|if|si|instead|plutot|rather|another|autre|later"
    r"|plus tard|earlier|before|avant|after|apres|when|quand|which|quel|quelle|what|who|qui|pas|not|t)\b"
)
_ANY_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase, and where it does not count: beside other words, or in a longer text."""

    intent: str
    says: str
    unless: str = r"(?!)"
    at_most_words: int = _ANY_LENGTH


_POLITE = (
    r"(merci|thanks|thank you|thx|thnx|mrc|bcp|beaucoup|bien|very much|so much|a lot|many|a vous|a toi"
    r"|infiniment|mille|bonne journee|bonne soiree|have a nice day|bye|au revoir|cordialement|pour tout)"
)
_GREETING = re.compile(
    r"^((bonjour|bonsoir|salut|hello|hi|hey|good (morning|afternoon|evening)|dear)\b"
    r"( (madame|monsieur|messieurs|sir|madam|all|there|a tous))* ?)+(?=\w)"
)
_REFUSES = re.compile(
    rf"{_NO}|\b(but|mais|sauf|except)\b.*\b(not|t|pas|jamais|later|plus tard|another|autre|before|avant"
    r"|after|apres|demain|tomorrow|\w+day|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche)\b"
    r"|\b(not|pas) (today|aujourd|tomorrow|demain|possible|home|ok|this|ce|\w+day|lundi|mardi|mercredi"
    r"|jeudi|vendredi|samedi|dimanche)\b"
)
_KEEPS = re.compile(
    r"\b(t|not|dont|didnt|never)( (to|want|wish|going|it|be|been|get|have))* cancel"
    r"|\bpas( (d|de|a|l|la|le|les|etre))* annul"
    r"|\b(n|ne)( (l|la|le|les))* annul\w*( \w+)? (pas|jamais|rien)\b"
    r"|\b(how|can i|could i|may i|comment|puis je|peut on|est ce|is it|was it)\b.*\b(cancel|annul)"
    r"|\b(if|si|before|until|avant|jusqu)\b"
)
"""What says that nothing is to be cancelled, asks about it, or makes it depend on something."""
_CONDITION = re.compile(
    r"\b(if|si|unless|provided|providing|as long as|only when|on condition|a condition|pourvu|tant que"
    r"|a moins)\b"
)
_UNHELD = re.compile(
    r"\b(know|tell (me|us)|call( me| us)?|text( me| us)?|ring( me| us)?|ask|see|check|questions?"
    r"|savoir|voir|demander|verifier|(dites|dis|prevenez|appelez|rappelez|ecrivez|sonnez)( moi| nous)?)"
    r" (if|si)\b|\bsi si\b"
)
"""An *if* on which no consent depends: *call me if you are late*."""
_NEEDS = re.compile(r"\b(besoin|needs?)\b")
_NEEDS_NOT = re.compile(r"\b(plus|pas|aucun|sans|ne|n|no|not|t|dont|longer|any ?more)\b")
_PLEASE = re.compile(
    r"\b(please|pls|plz|svp|stp|s il (vous|te) plait|(can|could|would|will) you"
    r"|(pouvez|pourriez) vous|(peux|pourrais) tu|vous (pouvez|pourriez)|merci de)\b"
)
_PHRASES: Sequence[Phrase] = (
    Phrase(ANGER, r"\b(merci (pour|de) rien|(thanks|thank you|thx) for nothing)\b"),
    Phrase(
        ANGER,
        r"\b(fuck\w*|wtf|bullshit|merde|putain|conn?ards?|encul\w*|salauds?|bordel|foutage"
        r"|inadmissible|inacceptable|unacceptable|furious|furieu[xs]e?|scandaleu[xs]e?|scandalous"
        r"|outrageous|disgraceful|escrocs?|arnaqueurs?)\b",
        unless=rf"{_NOT} (\w+ )?(furious|furieu)",
    ),
    Phrase(ANGER, r"\b(ras le bol|fed up|en ai marre|honte a vous|shame on you|en ai assez)\b"),
    Phrase(
        TALK,
        r"\b(talk|speak|parler|discuter) (to|with|a|avec) (a |an |the |un |une |quelqu|qqn|someone"
        r"|somebody|you|vous|real|human|person)"
        r"|\b(call me|ring me|phone me|rap+el+ez moi|ap+el+ez moi|me rap+el+er|contactez moi)\b"
        r"|\b(real person|vraie personne|human being|etre humain|conseiller|service client)\b",
        unless=r"\b(don t|do not|didn t|ne|pas|inutile|no need|without|sans|never|jamais)\b",
    ),
    Phrase(
        COMPLAINT,
        r"\bstill (not|doesn t|does not|isn t|is not|dosnt) (work|fix|repair|run|cool)\w*"
        r"|\b(marche|fonctionne|refroidit) toujours pas\b|\btoujours pas (repare|regle|marche)\w*"
        r"|\b(nobody|no one) (came|has come|showed)|\bpersonne n? ?est (venu|passe)\w*"
        r"|\b(make|file) a complaint\b|\bi (want|wish) to complain\b|\bune reclamation\b|\bme plaindre\b",
    ),
    Phrase(
        CANCEL,
        r"\b(cancel|annulez|annuler|annule)\b|\b(not needed|no longer needed|plus besoin)\b",
        unless=r"\b(don t|do not|didn t|ne|n|pas|not want|why|pourquoi|who|qui|if|si|job)\b"
        r"(?!.*\bplus besoin\b)(?!.*\bneeded\b)",
        at_most_words=14,
    ),
    Phrase(
        CANNOT,
        r"^(i |je |sorry i |desole je )?(cannot|can t|cant|won t be able to) (come|make)\b"
        r"|\bje (ne )?(peux|pourrai) (pas|plus) (venir|y aller|y etre)\b|\bne viens pas\b",
        unless=r"\b(monday|tuesday|wednesday|thursday|friday|lundi|mardi|mercredi|jeudi|vendredi)\b",
        at_most_words=12,
    ),
    Phrase(
        ARRIVED,
        r"^(just |i have |i ve |bien |je suis |suis )*(arrived|arrive)( here| on site| sur place)?$"
        r"|^(i am|i m|im|am|je suis|suis)? ?(now )?(here|there|on site|sur place|sur site|la)"
        r"( now| maintenant)?$",
        unless=_NOT_YET,
    ),
    Phrase(
        EN_ROUTE,
        r"\b(on (my|the) way|omw|en route|leaving now|i m leaving|je pars|je suis parti|en chemin)\b"
        r"|^j ?arrive\b|^j ?y vais\b",
        unless=rf"{_NOT}|\b(when|quand|who|qui|if|si|have to|dois)\b",
        at_most_words=14,
    ),
    Phrase(
        DONE,
        r"\b(done|finished|fixed|repaired|termine|fini|repare|c est fait|travail fait)\b",
        unless=rf"{_NOT_YET}|\b(myself|moi meme|tout seul|neighbour|voisin|well done|badly|mal|nothing"
        r"|rien|other|autre|already|deja|someone|somebody|mari|ami|husband|friend)\b",
    ),
    Phrase(
        ACCEPT,
        r"^(no problem|no worries|pas de probleme|pas de soucis?)( merci| thanks| thank you)?$",
    ),
    Phrase(
        DECLINE,
        r"^((merci|thanks|thank you) (no|non)|n)$"
        r"|^(no|non|nope|nan|decline|refuse|je refuse|impossible|another (time|day)|un autre"
        r"|autre (jour|moment|date))\b",
        unless=r"\b(ok|okay|yes|oui|fine|bon|good|parfait|perfect|venez|come|problem|probleme|souci|soucis"
        r"|worries|mais|but|need(ed)?|besoin|one|idea|idee|plus|longer|objections?|bots?|robots?|venir"
        r"|aller|rendre|necessary|issue|texting)\b",
        at_most_words=6,
    ),
    Phrase(
        ACCEPT,
        r"^[yo]$|^(yes|yep|yeah|oui|ouais|ok|okay|accept|accepte|j accepte|d accord|dac|sure|je prends"
        r"|parfait|perfect|entendu|ca (me )?(va|marche|convient)|c est bon|(that )?works for me"
        r"|sounds good|confirme|je confirme|confirmed|volontiers|bien sur|of course|absolument)\b",
        unless=rf"{_BUT}|{_NO}|\b(durer|long|job|service|work|nouveau)\b",
        at_most_words=8,
    ),
    Phrase(
        THANKS,
        rf"^((ok|super|top|parfait|great|perfect|tres|genial|nickel|well|noted?|bien recu) )*"
        rf"(merci|thanks|thank you|thx|thnx|mrc|cheers)( {_POLITE})*$",
    ),
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a phrase means, and the words that say so."""

    intent: str
    words: str


def find_phrase(plain: str) -> Found | None:
    """Return what the first phrase means that stands in a text of plain words, or None."""
    plain = _GREETING.sub("", plain)
    length = len(plain.split())
    for phrase in _PHRASES:
        match = re.search(phrase.says, plain)
        if match and length <= phrase.at_most_words and not re.search(phrase.unless, plain):
            return Found(phrase.intent, match[0].strip())
    return None


def doubts_cancelling(plain: str, *, is_question: bool = False) -> bool:
    """Return whether a text that speaks of cancelling may want the opposite: what is cancelled is lost."""
    if _KEEPS.search(plain) or (_NEEDS.search(plain) and not _NEEDS_NOT.search(plain)):
        return True
    return is_question and not _PLEASE.search(plain)


def is_conditional(plain: str) -> bool:
    """Return whether a text depends on something, as *oui si c'est payé double* does."""
    return _CONDITION.search(_UNHELD.sub(" ", plain)) is not None


def says_yes_and_no(plain: str) -> bool:
    """Return whether a short text says both, so that neither its words nor its likeness tell which."""
    is_short = len(plain.split()) <= _BOTH_WORDS
    return is_short and all(re.search(one, plain) for one in (_YES, _NO))


def refuses(plain: str) -> bool:
    """Return whether words beside a number take back what it may agree to."""
    found = find_phrase(plain)
    refused = found is not None and found.intent in {DECLINE, CANCEL, CANNOT}
    return refused or _REFUSES.search(plain) is not None
