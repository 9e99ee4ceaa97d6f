"""PromQL expressions said as conditions of a rule book, as far as they mean the same."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rules.importing.carried import Draft, Unportable
from rules.importing.promql_tree import (
    Aggregate,
    Binary,
    Call,
    Expression,
    Matcher,
    Negative,
    Number,
    Selector,
)
from rules.importing.wording import (
    Said,
    say_all,
    say_any,
    say_arithmetic,
    say_call,
    say_comparison,
    say_minus,
    say_not,
    say_number,
    say_one_of,
    say_text,
    say_time,
)

DEVICE_LABELS = frozenset({"device", "instance"})
"""Labels that name the device of a series."""
SITE_LABEL = "site"

STALE_S = 300.0
"""After so long without a sample Prometheus takes a series as gone."""

_OVER_TIME = {
    "avg_over_time": "avg",
    "min_over_time": "min",
    "max_over_time": "max",
    "sum_over_time": "sum",
    "stddev_over_time": "stddev",
    "count_over_time": "count",
    "last_over_time": "last",
}
_NEARLY = {
    "rate": (
        "rate() counts on where a counter starts again from 0, and reckons up to the window's ends",
        "mind that here a restart makes it negative: add `and NAME >= 0` if that matters",
    ),
    "increase": (
        "increase() counts on where a counter starts again from 0, and reckons up to the window's ends",
        "mind that delta() is the newest value less the oldest one",
    ),
    "delta": (
        "delta() reckons up to the ends of its window",
        "mind that here it is the newest value less the oldest one",
    ),
    "deriv": (
        "deriv() is the slope of a line through all values",
        "mind that rate() is the newest value less the oldest one, by the time between them",
    ),
}
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_PLAIN_CHOICE = re.compile(r"[^\\.^$*+?()\[\]{}]+")
_HAPPENED = {(">", 0.0), (">=", 1.0), ("!=", 0.0), ("==", 1.0)}
_DID_NOT = {("==", 0.0), ("<", 1.0), ("<=", 0.0), ("!=", 1.0)}
_WRITE_PLAINLY = "write the condition with the functions of docs/rule-book.md"


class PromqlConditions:
    """Says the expressions of one rule."""

    def __init__(self, draft: Draft, type_labels: frozenset[str]) -> None:
        self.draft = draft
        self.type_labels = type_labels
        """Labels that the device type stands for already."""
        self._filters: list[Said] = []
        """What labels of the series in the comparison at hand have to be."""
        self._may_widen = True
        """Whether a part that only narrows the condition may be left out and noted."""

    def condition(self, node: Expression) -> Said:
        """Return where an expression has a result. Raises Unportable."""
        match node:
            case Binary("and" | "unless"):
                return self._narrowed(node)
            case Binary("or"):
                self._note_matching(node)
                return say_any([self.condition(side) for side in (node.left, node.right)])
            case Binary(sign) if sign in _COMPARISONS:
                return self._comparison(node)
            case Call("absent" | "absent_over_time", (Selector() as series,)):
                return self._absence(series)
        raise Unportable(
            "this is true wherever its series exist, whatever their value",
            "compare it with a number",
        )

    def _narrowed(self, node: Binary) -> Said:
        """Return `and` or `unless`; what cannot be said of it is left out where that may be."""
        kept: list[Said] = []
        refused: list[Unportable] = []
        for side in (node.left, node.right):
            is_excluded = node.sign == "unless" and side is node.right
            try:
                with self.draft.on_trial():
                    kept.append(
                        say_not(self._exactly(side)) if is_excluded else self.condition(side)
                    )
            except Unportable as error:
                refused.append(error)
        if refused and not (self._may_widen and kept):
            raise refused[0]
        for why in refused:
            self.draft.lose(f"one side of `{node.sign}` is left out: {why.what}", why.remedy)
        if not refused:
            self._note_matching(node)
        return say_all(kept)

    def _exactly(self, node: Expression) -> Said:
        """Return a condition of which nothing may be left out."""
        before, self._may_widen = self._may_widen, False
        try:
            return self.condition(node)
        finally:
            self._may_widen = before

    def _comparison(self, node: Binary) -> Said:
        if isinstance(node.left, Number) and isinstance(node.right, Number):
            raise Unportable("this compares two numbers", "compare a metric")
        if isinstance(node.left, Number):
            mirrored = replace(node, sign=_MIRRORED[node.sign], left=node.right, right=node.left)
            return self._comparison(mirrored)
        if isinstance(node.right, Number):
            bound = (node.sign, node.right.value)
            inner = node.left
            if isinstance(inner, Binary) and inner.is_bool:
                said = self._exactly(replace(inner, is_bool=False))
                return self._of_truth(said, bound, inner.sign)
            if isinstance(inner, Call) and inner.name == "changes":
                return self._of_truth(self._changed(inner), bound, "changes()")
            if isinstance(inner, Aggregate) and inner.name in {"min", "max"}:
                return self._extreme(inner, node)
        if node.is_bool:
            self._note_bool(node)
        self._note_matching(node)
        with self._filtered() as filters:
            said = say_comparison(self.number(node.left), node.sign, self.number(node.right))
        return say_all([said, *filters])

    def _note_bool(self, node: Binary) -> None:
        what = f"`{node.sign} bool` always has a result, so that the alert always fires"
        if not self._may_widen:
            raise Unportable(what, "leave out `bool`")
        self.draft.lose(what, "nothing has to be done if the comparison is what was meant")

    def _of_truth(self, said: Said, bound: tuple[str, float], what: str) -> Said:
        """Return a comparison of something that is 0 or 1 as its truth."""
        if bound in _HAPPENED and (what != "changes()" or bound != ("==", 1.0)):
            return said
        if bound in _DID_NOT and (what != "changes()" or bound != ("!=", 1.0)):
            return say_not(said)
        what = f"{what} compared with {bound[1]:g}"
        raise Unportable(what, "changed(FIELD, TIME) only tells whether it did")

    def number(self, node: Expression) -> Said:
        """Return an expression as a number. Raises Unportable."""
        match node:
            case Number(value):
                return say_number(value)
            case Negative(inner):
                return say_minus(self.number(inner))
            case Selector(range_s=None):
                return Said(self._field(node))
            case Binary("-", Call("time", ()), Call("timestamp", (Selector() as series,))):
                return say_call("age", self._field(series))
            case Binary("+" | "-" | "*" | "/" | "%" as sign):
                self._note_matching(node)
                return say_arithmetic(self.number(node.left), sign, self.number(node.right))
            case Call(name, (Selector(range_s=float() as window_s) as series,)):
                return self._over_time(name, series, say_time(window_s))
            case Aggregate():
                return self._aggregate(node)
        raise self._refusal(node)

    def _refusal(self, node: Expression) -> Unportable:
        """Return why an expression is no number of the book's."""
        match node:
            case Call("abs"):
                return Unportable("abs()", "write both bounds, as in `x > 5 or x < -5`")
            case Call(name):
                return Unportable(f"{name}()", _WRITE_PLAINLY)
            case Binary(sign):
                return Unportable(f"`{sign}` inside a number", _WRITE_PLAINLY)
        return Unportable(
            "a subquery [...:...], or a time moved by offset or @",
            "write a function with a window, as in avg(temperature, 1h)",
        )

    def _over_time(self, name: str, series: Selector, window: str) -> Said:
        if name in _OVER_TIME:
            return say_call(_OVER_TIME[name], self._field(series), window)
        if name not in _NEARLY:
            what = f"{name}()"
            raise Unportable(what, _WRITE_PLAINLY)
        field = self._field(series)
        self.draft.lose(*_NEARLY[name])
        if name in {"rate", "deriv"}:
            return say_call("rate", field, window, "1s")
        return say_call("delta", field, window)

    def _changed(self, call: Call) -> Said:
        (series,) = call.arguments if len(call.arguments) == 1 else (None,)
        if not isinstance(series, Selector) or series.range_s is None:
            raise Unportable("changes() of something else than a metric", _WRITE_PLAINLY)
        with self._filtered() as filters:
            said = say_call("changed", self._field(series), say_time(series.range_s))
        return say_all([said, *filters])

    def _absence(self, series: Selector) -> Said:
        with self._filtered() as filters:
            said = say_call("age", self._field(series))
        self.draft.lose(
            "absent() is about all series at once, and true where none ever was",
            "mind that age() is about each device that was heard once",
        )
        longest = say_time(series.range_s or STALE_S)
        return say_all([say_comparison(said, ">", Said(longest)), *filters])

    def _aggregate(self, node: Aggregate) -> Said:
        """Return an aggregation over series: of one device that of its only series, or of its site."""
        if len(node.arguments) != 1:
            what = f"{node.name}()"
            raise Unportable(what, _WRITE_PLAINLY)
        (of,) = node.arguments
        if (
            not node.is_without
            and set(node.labels) & DEVICE_LABELS
            and node.name in {"sum", "avg", "min", "max"}
        ):
            self.draft.lose(
                f"{node.name} by ({', '.join(node.labels)}) is over all series of a device",
                "nothing has to be done if each device has one such series",
            )
            return self.number(of)
        if not node.is_without and node.labels == (SITE_LABEL,):
            if node.name == "avg":
                self._note_each_device()
                with self._filtered() as filters:
                    inner = self._plain(of)
                if filters:
                    raise Unportable("avg by (site) of chosen series", "give those a device type")
                return say_call("site_avg", self.draft.on.name, inner.text)
            if node.name == "count":
                self._note_each_device()
                with self._filtered() as filters:
                    inner = self._exactly(of)
                return say_call(
                    "site_count", self.draft.on.name, self._plainly(say_all([inner, *filters]))
                )
        what = f"{node.name}() over the series of many devices"
        raise Unportable(
            what,
            "write it for one device, or with site_count() or site_avg() for those of its site",
        )

    def _extreme(self, node: Aggregate, comparison: Binary) -> Said:
        """Return max > c or min < c over a site as the number of devices of which it holds."""
        is_any = (node.name, comparison.sign[0]) in {("max", ">"), ("min", "<")}
        if node.labels != (SITE_LABEL,) or node.is_without or not is_any:
            with self._filtered() as filters:
                said = say_comparison(
                    self._aggregate(node), comparison.sign, self.number(comparison.right)
                )
            return say_all([said, *filters])
        self._note_each_device()
        each = Binary(comparison.sign, node.arguments[0], comparison.right)
        said = say_call("site_count", self.draft.on.name, self._plainly(self._exactly(each)))
        return say_comparison(said, ">", say_number(0))

    def _plain(self, node: Expression) -> Said:
        said = self.number(node)
        self._plainly(said)
        return said

    def _plainly(self, said: Said) -> str:
        """Return what stands inside a function: it has none in it. Raises Unportable."""
        if re.search(r"[a-z_]\(", said.text):
            raise Unportable(
                "a function inside an aggregation over devices", "compare the newest values"
            )
        return said.text

    def _note_each_device(self) -> None:
        self.draft.lose(
            "Prometheus has one alert for the site",
            "mind that here each device of the site raises one; put the rule on a device type of "
            "which each site has one",
        )

    def _note_matching(self, node: Binary) -> None:
        labels = set(node.labels)
        if (
            node.group
            or node.matching == "ignoring"
            or (node.matching and not labels & DEVICE_LABELS)
        ):
            words = f"{node.matching} ({', '.join(node.labels)}) {node.group}".strip()
            self.draft.lose(
                f"`{node.sign} {words}` joins series of different labels",
                "mind that here both sides are of one device; write site_count() or near() for others",
            )

    def _field(self, series: Selector) -> str:
        """Return the field that a metric becomes; its labels join the comparison at hand."""
        if series.is_shifted:
            raise Unportable("a time moved by offset or @", "compare with the present value")
        if not series.metric:
            raise Unportable("series chosen by labels alone", "name the metric")
        if series.metric == "up":
            raise Unportable(
                "`up` says whether Prometheus reached its target, which no device sends",
                "write silent_after: 5m in the device type: the alarm device-silent tells of it",
            )
        name = self.draft.on.need_field(series.metric, (series.metric,), "number")
        for matcher in series.matchers:
            self._filters += self._label(matcher)
        return name

    def _label(self, matcher: Matcher) -> list[Said]:
        label, sign, value = matcher.label, matcher.sign, matcher.value
        if label in self.type_labels and sign == "=":
            return []
        choices = value.split("|")
        is_regular = sign in {"=~", "!~"}
        if not value or (is_regular and not all(map(_PLAIN_CHOICE.fullmatch, choices))):
            remedy = "name the devices by a field, or give them a device type of their own"
            if not self._may_widen:
                what = f"the label matcher {matcher}"
                raise Unportable(what, remedy)
            self.draft.lose(f"the label matcher {matcher} is left out", remedy)
            return []
        if label in DEVICE_LABELS or label == SITE_LABEL:
            field = Said("site" if label == SITE_LABEL else "device")
            note = f"the label matcher {matcher} is taken as the {field.text}'s name"
            remedy = "check that it is the same name as in the topic"
        else:
            field = Said(self.draft.on.need_field(f"label {label}", (label,), "string"))
            note = f"the label {label} is taken as a field"
            remedy = (
                "see that devices send it, else the rule never raises; or give them a device type"
            )
        self.draft.lose(note, remedy)
        values = choices if is_regular else [value]
        if sign == "!=":
            return [say_comparison(field, "!=", say_text(value))]
        said = say_one_of(field, values)
        return [say_not(said) if sign == "!~" else said]

    @contextmanager
    def _filtered(self) -> Iterator[list[Said]]:
        """Collect what labels have to be apart from that of the comparison around."""
        outer, self._filters = self._filters, []
        try:
            yield self._filters
        finally:
            self._filters = outer
