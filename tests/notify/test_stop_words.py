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
        "STOP S.V.P.",
        "STOP!!! Merci bien",
        "stop thx",
        "Stop, thank you very much",
        "Bonjour, STOP",
        "ok stop",
        "Stop et merci",
        "STOP wrong number",
        "STOP. Ne m'écrivez plus.",
        "STOP, merci de ne plus m'écrire",
        "Stop! Do not text me again",
        "Arrêtez, s'il vous plaît, arrêtez",
        "ARRE\u0302TEZ",
        "«\u202fSTOP\u202fSVP\u202f»",
        "stoppez tout",
        "STOP MSG",
        "S T O P",
        "s.t.o.p.",
        "Stoppe",
        "unsuscribe",
        "Stop! Wrong person",
        "No SMS please",
        "pas de SMS svp",
        "n'envoyez plus de sms",
        "stop aux sms",
        "Arrêt des SMS",
        "stop notifications",
        "je me désabonne",
        "Je ne souhaite plus recevoir vos messages",
        "je veux plus recevoir de sms",
        "je ne souhaite plus être contacté",
        "I no longer wish to receive these messages",
        "I don't want to be contacted again",
        "STOP PUB",
        "stop spam please",
        "plus de pub svp",
        "stop à 36180",
        "please stop this",
        "please stop messaging this number",
        "unsubscribe me from this list",
        "I want to unsubscribe",
        "je veux me désabonner",
        "désabonnez-moi de cette liste",
        "ne me contactez plus jamais",
        "je ne veux plus de messages",
        "je ne veux plus recevoir vos SMS",
        "I don't want any more messages",
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
        "ok",
        "Bonjour et merci",
        "wrong number",
        "ok cancel",
        "stop calling me",
        "stop emails",
        "pas de message",
        "non stop",
        "stop the compressor and call me",
        "je ne veux plus de rendez-vous",
        "arrête la machine svp",
        "stop all texts " * 500 + "now then",
    ],
)
def test_other_words_are_not_stop(text: str) -> None:
    assert not wants_stop(text)


@pytest.mark.parametrize("text", ["stop emails", "Arrêtez vos e-mails svp", "plus de mails"])
def test_stop_is_about_mail_where_it_comes_by_mail(text: str) -> None:
    assert wants_stop(text, "email")
    assert not wants_stop(text, "sms")


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
