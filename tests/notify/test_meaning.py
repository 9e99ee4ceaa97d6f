"""What texts mean: numbers before words, phrases before likeness, and nothing guessed."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.replies import intent_for, read_meaning
from notify.replies.accuracy import try_out
from notify.replies.classifier import Classifier, shipped_examples
from notify.replies.intents import FOR_A_PERSON, NUMBERS
from notify.replies.numbers import find_numbers, spoken_words

ASKS = sorted(NUMBERS)


@pytest.mark.parametrize(
    ("text", "answer", "case"),
    [
        ("1", 1, None),
        (" 1. ", 1, None),
        ("1 18", 1, 18),
        ("18 1", 18, 1),
        ("1 case 18", 1, 18),
        ("dossier 18 : 2", 2, 18),
        ("my answer is 2 please", 2, None),
        ("je mets 5 merci", 5, None),
        ("4/5", 4, None),
        ("4 out of 5", 4, None),
        ("4 sur 5", 4, None),
        ("4.5", None, None),
        ("-1", None, None),
        ("deux", 2, None),
        ("option one", 1, None),
        ("\N{FULLWIDTH DIGIT ONE}", 1, None),
        ("1\ufe0f\u20e3", 1, None),
        ("10 minutes", None, None),
        ("2 min away", None, None),
        ("yes 18", None, 18),
        ("3 relay replaced", 3, None),
        ("9999999", None, None),
        ("1 or 2", None, None),
        ("1 ou 2 ?", None, None),
        ("1/2", None, None),
        ("1 / 2", None, None),
        ("1 sur 2", None, None),
        ("1/12", None, None),
        ("1/18", 1, 18),
        ("10/10", 10, None),
        ("1 non 2", None, None),
        ("1 et 2", None, None),
        ("1 sorry 2", None, None),
        ("1 case no 2", 1, 2),
        ("1 and 18", 1, 18),
        ("1\n\nJean et Marie Roux\n06 12", 1, 12),
        ("Bonjour,\n\n2\n\nCordialement,\nZoë Roux", 2, None),
        ("Hello, 3 seal", 3, None),
        ("Bonjour, 10 minutes", None, None),
        ("ok 2", None, 2),
        ("No one.", None, None),
        ("Bonjour,\n\n1\n\nCordialement", 1, None),
        ("", None, None),
    ],
)
def test_which_numbers_a_text_names(text: str, answer: int | None, case: int | None) -> None:
    found = find_numbers(spoken_words(text))
    assert (found.answer, found.case) == (answer, case)


@pytest.mark.parametrize(
    ("ask", "text", "intent"),
    [
        ("confirm", "1 but I am furious", "accept"),
        ("confirm", "2 rappelez-moi", "decline"),
        ("offer", "oui si c'est payé double", None),
        ("offer", "yes if it is paid double", None),
        ("offer", "j'y vais si c'est payé double", None),
        ("offer", "1 si c'est payé double", None),
        ("confirm", "ok as long as it is free", None),
        ("confirm", "1, tell me if you are late", "accept"),
        ("confirm", "oui, s'il vous plaît", "accept"),
        ("confirm", "1/2", None),
        ("confirm", "1/10", None),
        ("rating", "4/5", "rate"),
        ("rating", "5, even if it took long", "rate"),
        ("rating", "5 merci beaucoup", "rate"),
        ("rating", "0 c'est inadmissible", "anger"),
        ("confirm", "10 fois que j'appelle, c'est inadmissible", "anger"),
        ("confirm", "je ne peux pas venir", "decline"),
        ("progress", "je ne peux pas venir", "cancel"),
        ("acknowledge", "on my way", "accept"),
        ("offer", "j'y vais", "accept"),
        ("progress", "j'y vais", "en_route"),
        ("progress", "arrive dans 10 minutes", "en_route"),
        ("progress", "it is not fixed yet", None),
        ("confirm", "no problem", "accept"),
        ("confirm", "pas de souci", "accept"),
        ("confirm", "\N{THUMBS UP SIGN}", "accept"),
        ("confirm", "ok merci", "accept"),
        ("confirm", "merci", "thanks"),
        ("rating", "Merci beaucoup !", "thanks"),
        ("confirm", "merci de me rappeler", "talk"),
        ("confirm", "merci d'annuler", "cancel"),
        ("confirm", "ça ne marche toujours pas", "complaint"),
        ("confirm", "nobody came", "complaint"),
        ("confirm", "this is bullshit", "anger"),
        ("confirm", "ras le bol", "anger"),
        ("confirm", "1 non", None),
        ("confirm", "1 annulez", None),
        ("confirm", "1 mais pas aujourd'hui", None),
        ("offer", "1 but not today", None),
        ("confirm", "1 no problem", "accept"),
        ("confirm", "1 mais sonnez fort", "accept"),
        ("rating", "1 pas bon, non", "rate"),
        ("progress", "1 but not before noon", "en_route"),
        ("confirm", "Bonjour, oui merci", "accept"),
        ("confirm", "yes of course no problem", "accept"),
        ("confirm", "\N{THUMBS DOWN SIGN}", "decline"),
        ("confirm", "\N{HEAVY CHECK MARK}\ufe0f", "accept"),
        ("confirm", "\N{SQUARED OK}", "accept"),
        ("confirm", "Y", "accept"),
        ("confirm", "O", "accept"),
        ("confirm", "n", "decline"),
        ("confirm", "merci non", "decline"),
        ("confirm", "Thanks, no", "decline"),
        ("confirm", "merci mais non", None),
        ("confirm", "non mais merci", None),
        ("confirm", "n'annulez pas", None),
        ("confirm", "Surtout n'annulez pas la visite !", None),
        ("confirm", "oui n'annulez pas", None),
        ("confirm", "je ne veux pas annuler", None),
        ("confirm", "please do not cancel", None),
        ("confirm", "I don't want to cancel it", None),
        ("progress", "don't cancel", None),
        ("confirm", "annulé ?", None),
        ("confirm", "La visite est annulée ?", None),
        ("confirm", "How do I cancel", None),
        ("confirm", "is it cancelled?", None),
        ("confirm", "si vous ne venez pas j'annule", None),
        ("confirm", "if you don't come I cancel", None),
        ("confirm", "ne venez pas avant 14h", None),
        ("confirm", "don't come before noon", None),
        ("confirm", "on a besoin de vous vite", None),
        ("progress", "besoin d'aide", None),
        ("progress", "besoin de pièces", None),
        ("confirm", "Pouvez-vous annuler la visite ?", "cancel"),
        ("confirm", "could you cancel it?", "cancel"),
        ("confirm", "can't come, please cancel", "cancel"),
        ("confirm", "plus besoin, merci", "cancel"),
        ("confirm", "I don't need you anymore", "cancel"),
        ("confirm", "ne venez pas", "cancel"),
        ("confirm", "merci pour rien", "anger"),
        ("confirm", "Thank you for nothing!", "anger"),
        ("confirm", "n°1", "accept"),
        ("confirm", "n° 2", "decline"),
        ("confirm", "je tape 1", "accept"),
        ("confirm", "1 et 2", None),
        ("confirm", "1 and 2", None),
    ],
)
def test_a_number_counts_before_a_phrase(ask: str, text: str, intent: str | None) -> None:
    assert intent_for(ask, read_meaning(text)) == intent


@pytest.mark.parametrize(
    ("ask", "text", "intent"),
    [
        ("confirm", "oui mais plutôt mardi", "decline"),
        ("confirm", "tuesday afternoon wld be beter", "decline"),
        ("confirm", "nous vous confirmons la visite de lundi", "accept"),
        ("confirm", "someone will be at home to open the door", "accept"),
        ("confirm", "votre technicien a abimé mon carrelage", "complaint"),
        ("confirm", "you people are completely useless", "anger"),
        ("confirm", "can somebody ring me about this", "talk"),
        ("progress", "compresseur remplacé, ça tourne", "done"),
        ("progress", "driving to them now", "en_route"),
    ],
)
def test_likeness_decides_where_no_phrase_does(ask: str, text: str, intent: str) -> None:
    meaning = read_meaning(text)
    assert intent_for(ask, meaning) == intent, meaning.reason


@pytest.mark.parametrize(
    "text",
    [
        "blue, I think",
        "who are you?",
        "quelle heure ?",
        "xyzzy plugh",
        "the cat sat on it",
        "1 or 2",
        "ok non",
        "non, ok pour mardi",
        "No, it's ok",
        "oui et non",
        "bien sûr que non",
        "ok pas ok",
        "pas d'accord",
    ],
)
def test_what_is_like_nothing_or_says_both_is_not_guessed(text: str) -> None:
    meaning = read_meaning(text)
    assert meaning.intent is None
    assert {intent_for(ask, meaning) for ask in ASKS} == {None}
    assert meaning.reason


@given(st.text(max_size=300), st.sampled_from(ASKS))
def test_no_text_makes_the_reader_fail(text: str, ask: str) -> None:
    meaning = read_meaning(text)
    assert meaning.reason
    intent = intent_for(ask, meaning)
    if meaning.number is not None and not meaning.takes_back and intent not in FOR_A_PERSON:
        assert intent == NUMBERS[ask].get(meaning.number)


def test_the_classifier_always_comes_out_the_same() -> None:
    examples = shipped_examples()
    texts = ["oui mais mardi", "come whenever", "quand vient-il"]
    assert Classifier(examples).weigh_all(texts) == Classifier(examples).weigh_all(texts)


def test_the_shipped_examples_are_understood_when_held_out() -> None:
    accuracy = try_out(shipped_examples())
    assert accuracy.precision > 0.93
    assert accuracy.wrong < 0.04
    assert accuracy.right > 0.55


def test_no_two_phrases_stand_twice_and_none_is_empty() -> None:
    texts = [" ".join(spoken_words(one.text)) for one in shipped_examples()]
    assert all(texts)


def test_only_a_text_that_needs_the_classifier_loads_it() -> None:
    code = (
        "import sys\n"
        "from notify.replies import read_meaning\n"
        "read_meaning('1'); read_meaning('oui'); read_meaning('merci')\n"
        "assert 'sklearn' not in sys.modules\n"
        "read_meaning('that would suit us rather well')\n"
        "assert 'sklearn' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["STOP", "arrêtez svp", "START", "HELP"])
def test_stop_and_its_kin_need_no_classifier(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify.replies.meaning.shipped_classifier", None)
    assert read_meaning(text).intent is None
