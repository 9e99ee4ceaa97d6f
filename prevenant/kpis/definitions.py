"""The figures that a service is judged by: what each says, from which times, and what is left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prevenant.document import suggest
from prevenant.errors import ConfigurationError
from workflows.surveys import MEANINGS

SECONDS, PERCENT, POINTS, GRADE = "s", "percent", "points", "grade"
"""Units: a time, a share, from -100 to 100, and a mean of answers."""
RAISED, OPENED, CLOSED, SENT = "raised", "opened", "closed", "sent"
"""What says in which period something falls: its alarm, its case's beginning or end, its survey."""
RETURNS_WITHIN_DAYS = 7
"""An alarm that is back by then was not mended."""

Direction = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Words:
    """A figure as one language says it."""

    title: str
    counts: str
    """What it says."""
    times: str
    """From which times it is made, and in which period something falls."""
    left_out: str


@dataclass(frozen=True, slots=True)
class Kpi:
    """A figure that the service is judged by."""

    name: str
    unit: str
    dated_by: str
    better: Direction
    words: Mapping[str, Words]
    """By language."""

    def said_in(self, language: str) -> Words:
        """Return the figure's words in a language, else in English."""
        return self.words.get(language, self.words["en"])


_MEDIAN = "The median; beside it, the time within which nine of ten are."
_MEDIANE = "La médiane ; à côté, le temps que neuf cas sur dix ne dépassent pas."
_OPENED = "A case falls in the period in which it was opened."
_OUVERT = "Un dossier compte dans la période où il a été ouvert."
_CLOSED = "A case falls in the period in which it was closed."
_CLOS = "Un dossier compte dans la période où il a été clos."
_NOT_OURS = "storms, whose cases count themselves, and Prevenant's alarms about itself"
_PAS_LES_NOTRES = (
    "les vagues, dont chaque dossier compte par lui-même, et les alarmes de Prevenant sur lui-même"
)
_SENT = "A survey falls in the period in which it was sent."
_ENVOYE = "Une enquête compte dans la période où elle a été envoyée."
_ANSWERED = "Surveys without an answer; how many there are stands beside it."
_SANS_REPONSE = "Les enquêtes sans réponse ; leur nombre est indiqué à côté."

KPIS: tuple[Kpi, ...] = (
    Kpi(
        "time_to_detect",
        SECONDS,
        RAISED,
        "lower",
        {
            "en": Words(
                "Time to detect",
                f"How long something had been wrong when its alarm was raised. {_MEDIAN}",
                "From the first reading in which the rule's condition held, by the device's own "
                "clock, to the alarm; the time for which the rule asks it to hold is part of it. "
                "An alarm falls in the period in which it was raised.",
                "What had begun and ended before it could be heard, and Prevenant's alarms about "
                "itself. Of an alarm that was raised again while it was latched, the first time "
                "counts.",
            ),
            "fr": Words(
                "Délai de détection",
                "Depuis combien de temps quelque chose n'allait pas quand l'alarme s'est levée. "
                f"{_MEDIANE}",
                "De la première mesure où la condition de la règle est vraie, à l'heure de "
                "l'appareil, jusqu'à l'alarme ; la durée que la règle exige en fait partie. Une "
                "alarme compte dans la période où elle s'est levée.",
                "Ce qui avait commencé et fini avant de pouvoir être entendu, et les alarmes de "
                "Prevenant sur lui-même. D'une alarme mémorisée qui se relève, seule la première "
                "fois compte.",
            ),
        },
    ),
    Kpi(
        "time_to_tell",
        SECONDS,
        OPENED,
        "lower",
        {
            "en": Words(
                "Time to tell",
                f"How long it took until the first person was told. {_MEDIAN}",
                "From the alarm to the hand-over of the first message about it that has not "
                f"failed since: an SMS, a call, an e-mail or a chat. {_OPENED}",
                f"Cases in which nobody was told, which are counted beside it; {_NOT_OURS}.",
            ),
            "fr": Words(
                "Délai d'information",
                f"Le temps qu'il a fallu pour prévenir la première personne. {_MEDIANE}",
                "De l'alarme à la remise du premier message à son sujet qui n'a pas échoué depuis "
                f": SMS, appel, e-mail ou messagerie. {_OUVERT}",
                f"Les dossiers où personne n'a été prévenu, comptés à côté ; {_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "time_to_tell_customer",
        SECONDS,
        OPENED,
        "lower",
        {
            "en": Words(
                "Time to tell the customer",
                f"How long it took until the customer was told. {_MEDIAN}",
                "From the alarm to the hand-over of the first message to the customer or to the "
                f"site's contact that has not failed since. {_OPENED}",
                f"Cases that concern no customer, since their workflow tells none; {_NOT_OURS}.",
            ),
            "fr": Words(
                "Délai d'information du client",
                f"Le temps qu'il a fallu pour prévenir le client. {_MEDIANE}",
                "De l'alarme à la remise du premier message au client ou au contact du site qui "
                f"n'a pas échoué depuis. {_OUVERT}",
                "Les dossiers qui ne concernent aucun client, leur déroulement n'en prévenant pas "
                f"; {_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "time_to_acknowledge",
        SECONDS,
        OPENED,
        "lower",
        {
            "en": Words(
                "Time to acknowledge",
                f"How long it took until somebody looked after it. {_MEDIAN}",
                "From the alarm to the first of these: somebody acknowledges the alarm or the "
                f"case, takes the case over, or accepts the job. {_OPENED}",
                f"Cases that nobody has acknowledged, which are counted beside it; {_NOT_OURS}.",
            ),
            "fr": Words(
                "Délai de prise en charge",
                f"Le temps qu'il a fallu pour que quelqu'un s'en occupe. {_MEDIANE}",
                "De l'alarme au premier de ces moments : quelqu'un acquitte l'alarme ou le "
                f"dossier, reprend le dossier, ou accepte l'intervention. {_OUVERT}",
                f"Les dossiers que personne n'a acquittés, comptés à côté ; {_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "time_to_arrive",
        SECONDS,
        OPENED,
        "lower",
        {
            "en": Words(
                "Time to arrive",
                f"How long it took until a technician was there. {_MEDIAN}",
                f"From the alarm to the first arrival that a technician has reported. {_OPENED}",
                "Cases for which nobody was sent. Those to which somebody was sent who has not "
                f"reported an arrival are counted beside it; {_NOT_OURS}.",
            ),
            "fr": Words(
                "Délai d'arrivée",
                f"Le temps qu'il a fallu pour qu'un technicien soit sur place. {_MEDIANE}",
                f"De l'alarme à la première arrivée qu'un technicien a signalée. {_OUVERT}",
                "Les dossiers sans envoi de technicien. Ceux dont le technicien n'a pas signalé "
                f"son arrivée sont comptés à côté ; {_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "time_to_resolve",
        SECONDS,
        CLOSED,
        "lower",
        {
            "en": Words(
                "Time to resolve",
                f"How long it took until the case was closed. {_MEDIAN}",
                f"From the alarm to the end of its case. {_CLOSED}",
                "Cases that are still open or with a person, and those that were over before "
                f"anybody was told; {_NOT_OURS}.",
            ),
            "fr": Words(
                "Délai de résolution",
                f"Le temps qu'il a fallu pour clore le dossier. {_MEDIANE}",
                f"De l'alarme à la fin de son dossier. {_CLOS}",
                "Les dossiers encore ouverts ou entre les mains d'une personne, et ceux qui "
                f"étaient terminés avant que quelqu'un soit prévenu ; {_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "handling_time",
        SECONDS,
        CLOSED,
        "lower",
        {
            "en": Words(
                "Handling time",
                f"How long somebody worked on a case. {_MEDIAN}",
                "With visits: from setting out (from arriving, where that alone was reported) to "
                "being done, all visits together. Without: from the first acknowledgement to the "
                f"end of the case. {_CLOSED}",
                "Cases on which nobody is known to have worked: they are counted beside it; "
                f"{_NOT_OURS}.",
            ),
            "fr": Words(
                "Temps de traitement",
                f"Combien de temps quelqu'un a travaillé sur un dossier. {_MEDIANE}",
                "Avec intervention : du départ (de l'arrivée, si elle seule est signalée) à la "
                "fin, toutes les interventions ensemble. Sans intervention : de la prise en "
                f"charge à la fin du dossier. {_CLOS}",
                "Les dossiers dont on ne sait pas que quelqu'un y a travaillé, comptés à côté ; "
                f"{_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "first_visit_fix",
        PERCENT,
        CLOSED,
        "higher",
        {
            "en": Words(
                "Fixed at the first visit",
                "The share of cases with a visit that one visit has mended.",
                "Exactly one visit was done, and the same rule raised no alarm on the same device "
                f"within {RETURNS_WITHIN_DAYS} days of the end of the case; until they are over, a "
                f"case counts as mended so far. {_CLOSED}",
                "Cases without a visit, and those at whose only visit no fault was found; "
                f"{_NOT_OURS}.",
            ),
            "fr": Words(
                "Réparé à la première visite",
                "La part des dossiers avec intervention qu'une seule visite a réparés.",
                "Une seule visite a été faite, et la même règle n'a levé aucune alarme sur le "
                f"même appareil dans les {RETURNS_WITHIN_DAYS} jours après la fin du dossier ; "
                f"tant qu'ils ne sont pas écoulés, le dossier compte comme réparé. {_CLOS}",
                "Les dossiers sans visite, et ceux dont l'unique visite n'a trouvé aucune panne ; "
                f"{_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "told_before_call",
        PERCENT,
        OPENED,
        "higher",
        {
            "en": Words(
                "Told before the customer called",
                "The share of cases in which the customer heard of it from us first.",
                "A message to the customer was handed over, and has not failed since, before the "
                f"customer wrote to us unasked, asked for a person or complained. {_OPENED}",
                "Cases in which the customer neither was told nor got in touch; telephone calls "
                f"that do not come to Prevenant are not known to it; {_NOT_OURS}.",
            ),
            "fr": Words(
                "Prévenus avant leur appel",
                "La part des dossiers que le client a appris de nous en premier.",
                "Un message au client a été remis, et n'a pas échoué depuis, avant que le client "
                f"nous écrive de lui-même, demande une personne ou se plaigne. {_OUVERT}",
                "Les dossiers où le client n'a ni été prévenu ni donné signe ; les appels "
                "téléphoniques qui n'arrivent pas à Prevenant lui sont inconnus ; "
                f"{_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "solved_before_call",
        PERCENT,
        CLOSED,
        "higher",
        {
            "en": Words(
                "Solved before the customer called",
                "The share of cases that were closed without the customer having had to get in "
                "touch.",
                "Up to the end of the case the customer neither wrote to us unasked nor asked for "
                f"a person nor complained; an answer to a question of ours is no call. {_CLOSED}",
                "Cases in which the customer neither was told nor got in touch; telephone calls "
                f"that do not come to Prevenant are not known to it; {_NOT_OURS}.",
            ),
            "fr": Words(
                "Résolus avant l'appel du client",
                "La part des dossiers clos sans que le client ait dû se manifester.",
                "Jusqu'à la fin du dossier, le client ne nous a pas écrit de lui-même, n'a pas "
                "demandé une personne et ne s'est pas plaint ; répondre à une de nos questions "
                f"n'est pas un appel. {_CLOS}",
                "Les dossiers où le client n'a ni été prévenu ni donné signe ; les appels "
                "téléphoniques qui n'arrivent pas à Prevenant lui sont inconnus ; "
                f"{_PAS_LES_NOTRES}.",
            ),
        },
    ),
    Kpi(
        "csat",
        PERCENT,
        SENT,
        "higher",
        {
            "en": Words(
                "Satisfaction (CSAT)",
                f"The {MEANINGS['csat']}.",
                f"From the answers to the survey `csat`. {_SENT}",
                _ANSWERED,
            ),
            "fr": Words(
                "Satisfaction (CSAT)",
                "Le pourcentage des réponses qui sont 4 ou 5 sur 5.",
                f"D'après les réponses à l'enquête `csat`. {_ENVOYE}",
                _SANS_REPONSE,
            ),
        },
    ),
    Kpi(
        "nps",
        POINTS,
        SENT,
        "higher",
        {
            "en": Words(
                "Recommendation (NPS)",
                f"The {MEANINGS['nps']}.",
                f"From the answers to the survey `nps`. {_SENT}",
                _ANSWERED,
            ),
            "fr": Words(
                "Recommandation (NPS)",
                "Le pourcentage de 9 et 10 moins le pourcentage de 0 à 6, de -100 à 100.",
                f"D'après les réponses à l'enquête `nps`. {_ENVOYE}",
                _SANS_REPONSE,
            ),
        },
    ),
    Kpi(
        "ces",
        GRADE,
        SENT,
        "higher",
        {
            "en": Words(
                "Ease (CES)",
                f"The {MEANINGS['ces']}.",
                f"From the answers to the survey `ces`. {_SENT}",
                _ANSWERED,
            ),
            "fr": Words(
                "Facilité (CES)",
                "La moyenne des réponses de 1 (très difficile) à 7 (très facile).",
                f"D'après les réponses à l'enquête `ces`. {_ENVOYE}",
                _SANS_REPONSE,
            ),
        },
    ),
)

_BY_NAME = {one.name: one for one in KPIS}


def kpi_called(name: str) -> Kpi:
    """Return a figure by its name. Raises ConfigurationError where there is none."""
    if name not in _BY_NAME:
        message = f"there is no figure {name!r}: {suggest(name, _BY_NAME)}"
        raise ConfigurationError(message)
    return _BY_NAME[name]
