"""STOP, START and HELP are understood in English and French, politely too, and nothing else is."""

import pytest

from notify.consent import wants_help, wants_start, wants_stop


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        " stop. ",
        "Stop!",
        "stop stop",
        "stop please",
        "Please stop",
        "STOP SVP",
        "stop s'il vous plaît",
        "Arrêt",
        "ARRÊTER",
        "arrêtez",
        "Arrêtez svp, merci",
        "arrêtez de m'écrire",
        "arrêtez de m'envoyer des messages",
        "STOP SMS",
        "stop au 36111",
        "stop all",
        "stop texting me",
        "unsubscribe",
        "UNSUBSCRIBE PLEASE",
        "desabonner",
        "désabonnez-moi",
        "Désinscription",
        "opt out",
        "quit",
        "end",
        "cancel",
        "do not text me anymore",
        "no more messages please",
        "ne m'écrivez plus",
        "plus de messages svp",
        "remove me from your list",
    ],
)
def test_stop_is_understood(text: str) -> None:
    assert wants_stop(text)
    assert not wants_start(text)
    assert not wants_help(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "yes",
        "merci",
        "please",
        "do not stop now my friend",
        "the compressor does not stop",
        "il s'arrête",
        "le moteur s'est arrêté",
        "arrêtez-vous à la grille",
        "stop by at five",
        "cancel the visit",
        "annulez la visite",
        "end of the afternoon",
        "it stopped",
        "bus stop",
        "plus tard svp",
        "no more ice in the fridge",
        "ne venez plus",
    ],
)
def test_other_words_are_not_stop(text: str) -> None:
    assert not wants_stop(text)


@pytest.mark.parametrize("text", ["START", "start please", "unstop", "Reprendre", "reprenez svp"])
def test_start_is_understood(text: str) -> None:
    assert wants_start(text)
    assert not wants_stop(text)


@pytest.mark.parametrize("text", ["HELP", "help please", "Aide", "aide svp", "INFO", "infos ?"])
def test_help_is_understood(text: str) -> None:
    assert wants_help(text)


@pytest.mark.parametrize(
    "text", ["help me, water everywhere", "j'ai besoin d'aide au portail", "start at nine", ""]
)
def test_who_says_more_wants_more(text: str) -> None:
    assert not wants_help(text)
    assert not wants_start(text)
