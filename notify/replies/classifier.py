"""The classifier: what a text means that no phrase and no number tells, learned from shipped examples.

It is a logistic regression over words and over pieces of two to four letters, so that typing mistakes and
missing accents cost little. It is trained at its first use, which takes about a second, and always
comes out the same. Nothing of it is loaded before a text needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from notify.replies.numbers import spoken_words

OTHER = "other"
"""What answers nothing."""
LANGUAGES = ("en", "fr")
_SHIPPED = Path(__file__).with_name("examples")


@dataclass(frozen=True, slots=True)
class Example:
    """Something that people write, and what they mean by it."""

    text: str
    intent: str
    language: str

    @property
    def plain(self) -> str:
        """The text as the classifier reads it."""
        return " ".join(spoken_words(self.text))


class Classifier:
    """Tells the intent of a text by its likeness to examples."""

    def __init__(self, examples: Sequence[Example]) -> None:
        # Half a second that only who needs it waits for.
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
        from sklearn.multiclass import OneVsRestClassifier  # noqa: PLC0415
        from sklearn.pipeline import make_pipeline, make_union  # noqa: PLC0415
        from threadpoolctl import threadpool_limits  # noqa: PLC0415

        self._model: Any = make_pipeline(
            make_union(
                TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
                TfidfVectorizer(tokenizer=str.split, token_pattern=None, ngram_range=(1, 2)),
            ),
            OneVsRestClassifier(
                LogisticRegression(C=10.0, class_weight="balanced", solver="liblinear")
            ),
        )
        # What is multiplied is small: more threads wait for each other, and take three times as much.
        with threadpool_limits(1):
            self._model.fit([one.plain for one in examples], [one.intent for one in examples])

    def weigh(self, plain: str) -> dict[str, float]:
        """Return how much a text of plain words is like each intent; the shares come to 1."""
        return self.weigh_all([plain])[0]

    def weigh_all(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return the shares of several texts."""
        names = [str(one) for one in self._model.classes_]
        rows = self._model.predict_proba(list(texts))
        return [dict(zip(names, map(float, row), strict=True)) for row in rows]


@cache
def shipped_classifier() -> Classifier:
    """Return the classifier of the shipped examples, trained when it is first asked for."""
    return Classifier(shipped_examples())


def shipped_examples() -> list[Example]:
    """Return the examples that come with Prevenant, in both languages."""
    found = []
    for language in LANGUAGES:
        text = (_SHIPPED / f"{language}.yaml").read_text("utf-8")
        for intent, texts in yaml.safe_load(text).items():
            found += [Example(one, intent, language) for one in texts]
    return found
