"""Alerting rules of Prometheus, from a file of rule groups."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from prevenant.errors import ConfigurationError
from rules.importing.carried import (
    Carried,
    CarriedRule,
    CarriedType,
    Draft,
    Unportable,
    Unported,
    lost_rule,
)
from rules.importing.names import name_rule, name_type
from rules.importing.promql import PromqlError, parse_promql, parse_promql_time
from rules.importing.promql_conditions import DEVICE_LABELS, SITE_LABEL, PromqlConditions
from rules.importing.promql_tree import (
    Aggregate,
    Binary,
    Call,
    Expression,
    Negative,
    Selector,
    Subquery,
    selectors_of,
)
from rules.importing.source import Part, read_yaml_source
from rules.importing.wording import say_plainly, say_time

DIFFERS = (
    "A series that is gone resolves an alert of Prometheus; a missing value neither raises nor clears.",
    "Fields in one condition have to come in one message of a device.",
)

_TYPE_LABEL = "job"
_SEVERITIES = {
    "critical": "critical",
    "page": "critical",
    "emergency": "critical",
    "fatal": "critical",
    "error": "major",
    "high": "major",
    "major": "major",
    "warning": "minor",
    "warn": "minor",
    "minor": "minor",
    "low": "minor",
    "info": "info",
    "informational": "info",
    "notice": "info",
    "none": "info",
}
_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_LABEL_IN_TEXT = re.compile(r"\$labels\.(\w+)|\.Labels\.(\w+)|index \$labels \"(\w+)\"")
_VALUE_IN_TEXT = re.compile(
    r"(?:printf \"%\.?(?P<digits>\d*)[fg]\" )?(?:\$value|\.Value)"
    r"(?: ?\| ?(?P<filter>humanize\w*|printf \"[^\"]*\"))?"
)

_Group = tuple[str, str]
"""A device type's worth of metrics: the job, if one is named, and the first word of their names."""


def import_prometheus(text: str, source: str) -> Carried:
    """Carry over the alerting rules of a file. Raises ConfigurationError where it is none."""
    document = read_yaml_source(text, source)
    if isinstance(document.value, dict) and "spec" in document and "groups" not in document:
        document = document.get("spec")  # a PrometheusRule of the Kubernetes operator
    if not isinstance(document.value, dict) or "groups" not in document:
        message = (
            f"{source} is no file of Prometheus rules: it needs `groups:`, a list with `rules:`"
        )
        raise ConfigurationError(message)
    return _Import(document, source).run()


class _Import:
    """Carries over one file."""

    def __init__(self, document: Part, source: str) -> None:
        self._carried = Carried("alerting rules of Prometheus", source, DIFFERS)
        self._groups = document.get("groups").items()
        self._recorded: dict[str, Expression] = {}
        self._used: set[str] = set()
        """Recorded series that an alert refers to."""
        self._types: dict[_Group, CarriedType] = {}

    def run(self) -> Carried:
        recordings = self._read_recordings()
        alerts = list(self._read_alerts())
        self._make_types(alerts)
        for group, alert, tree in alerts:
            self._carried.rules.append(self._carry(group, alert, tree))
        for rule in recordings:
            if rule.get("record").text() not in self._used:
                what = f"recording rule {rule.get('record').text()}"
                remedy = "nothing has to be done: no alert of this file uses it"
                self._carried.asides.append(Unported(rule.place, what, remedy, alters=False))
        return self._carried

    def _read_recordings(self) -> list[Part]:
        rules = [rule for group in self._groups for rule in group.get("rules").items()]
        recordings = [rule for rule in rules if rule.get("record")]
        for rule in recordings:
            self._record(rule)
        return recordings

    def _read_alerts(self) -> Iterator[tuple[Part, Part, Expression | Unportable]]:
        for group in self._groups:
            self._note_group(group)
            for rule in group.get("rules").items():
                if rule.get("record"):
                    continue
                if not rule.get("alert") or not rule.get("expr"):
                    raise rule.wrong("a rule with `alert:` and `expr:`")
                alert = rule.labelled(rule.get("alert").text())
                yield group, alert, self._parse(alert)

    def _record(self, rule: Part) -> None:
        try:
            self._recorded[rule.get("record").text()] = parse_promql(rule.get("expr").text())
        except PromqlError:
            return  # what refers to it says so

    def _note_group(self, group: Part) -> None:
        for name in ("limit", "query_offset"):
            if group.get(name):
                what = f"{name} of the group"
                remedy = "nothing has to be done: here each reading is decided on when it comes"
                place = group.get(name).place
                self._carried.asides.append(Unported(place, what, remedy, alters=False))

    def _parse(self, alert: Part) -> Expression | Unportable:
        """Return the tree of an alert, with recorded series replaced by what they record."""
        try:
            return self._resolve(parse_promql(alert.get("expr").text()), ())
        except PromqlError as error:
            return Unportable(f"its expr is not PromQL: {error}", "mend the expression")

    def _resolve(self, node: Expression, inside: tuple[str, ...]) -> Expression:
        match node:
            case Selector(metric, (), None, False) if (
                metric in self._recorded and metric not in inside
            ):
                self._used.add(metric)
                return self._resolve(self._recorded[metric], (*inside, metric))
            case Call() | Aggregate():
                arguments = tuple(self._resolve(one, inside) for one in node.arguments)
                return replace(node, arguments=arguments)
            case Binary():
                left, right = self._resolve(node.left, inside), self._resolve(node.right, inside)
                return replace(node, left=left, right=right)
            case Negative() | Subquery():
                return replace(node, of=self._resolve(node.of, inside))
        return node

    def _make_types(self, alerts: Iterable[tuple[Part, Part, Expression | Unportable]]) -> None:
        """Put metrics that occur in one rule, or begin with the same word, into one device type."""
        joined: dict[_Group, _Group] = {}
        places: dict[_Group, str] = {}
        named: list[tuple[_Group, str]] = []
        for _, alert, tree in alerts:
            groups = [] if isinstance(tree, Unportable) else _groups_of(tree)
            for group, metric in groups:
                joined.setdefault(group, group)
                places.setdefault(group, alert.place)
                first, other = _root(joined, groups[0][0]), _root(joined, group)
                joined[other] = first
                named.append((group, metric))
        metrics: dict[_Group, list[str]] = {}
        for group, metric in named:
            metrics.setdefault(_root(joined, group), []).append(metric)
        made: dict[_Group, CarriedType] = {}
        for group in joined:
            root = _root(joined, group)
            if root not in made:
                names = {one.name for one in self._carried.types}
                name = name_type(root[0] or _common_words(metrics[root]), names)
                check = "a label that tells devices apart is their name there"
                made[root] = CarriedType(name, places[root], check)
                self._carried.types.append(made[root])
            self._types[group] = made[root]

    def _carry(self, group: Part, alert: Part, tree: Expression | Unportable) -> CarriedRule:
        name = name_rule(alert.label, {rule.name for rule in self._carried.rules})
        original = f"expr: {alert.get('expr').text()}"
        if isinstance(tree, Unportable):
            return lost_rule(name, alert.place, tree, original)
        groups = [group for group, _ in _groups_of(tree)]
        on = self._types[groups[0]] if groups else CarriedType("", alert.place, "")
        draft = Draft(alert.place, on)
        type_labels = frozenset({_TYPE_LABEL} if any(job for job, _ in groups) else ())
        try:
            with draft.on_trial():
                if len({job for job, _ in groups}) > 1:
                    draft.lose(
                        "it joins series of different jobs",
                        "see that one message of a device carries all of these fields",
                    )
                when = PromqlConditions(draft, type_labels).condition(tree).text
                hold_s, keep_s = _time(alert.get("for")), _time(alert.get("keep_firing_for"))
        except Unportable as error:
            return lost_rule(name, alert.place, error, original)
        labels = {**group.get("labels").mapping(), **alert.get("labels").mapping()}
        return draft.finish(
            name,
            {
                "when": when,
                "for": say_time(hold_s) if hold_s else "",
                "clear_for": say_time(keep_s) if keep_s else "",
                "severity": _severity(labels, draft),
                "message": _message(alert.get("annotations"), tree, draft),
            },
        )


def _groups_of(tree: Expression) -> list[tuple[_Group, str]]:
    """Return the metrics of an expression, each behind its group."""
    found: dict[tuple[_Group, str], None] = {}
    for series in selectors_of(tree):
        if series.metric and series.metric != "up":
            jobs = [m.value for m in series.matchers if (m.label, m.sign) == (_TYPE_LABEL, "=")]
            word = next((word for word in re.split(r"[_:]", series.metric) if word), series.metric)
            found[(jobs[0] if jobs else "", "" if jobs else word), series.metric] = None
    return list(found)


def _common_words(metrics: Sequence[str]) -> str:
    """Return the words that all names begin with, and not all words of any: `cold_room`."""
    words = [re.split(r"[_:]+", metric.strip("_:")) for metric in metrics]
    common = words[0][: max(1, min(map(len, words)) - 1)]
    while any(each[: len(common)] != common for each in words) and len(common) > 1:
        common.pop()
    return "_".join(common)


def _root(joined: Mapping[_Group, _Group], group: _Group) -> _Group:
    while joined[group] != group:
        group = joined[group]
    return group


def _time(part: Part) -> float:
    try:
        return parse_promql_time(part.text())
    except PromqlError as error:
        raise Unportable(str(error), "write a length of time such as 5m") from None


def _severity(labels: Mapping[str, object], draft: Draft) -> str:
    """Return the severity that the label names, and note the labels that the book has no place for."""
    word = str(labels.get("severity") or "").strip()
    severity = _SEVERITIES.get(word.lower(), "")
    if word and not severity:
        draft.lose(
            f"severity {word!r} is not known here, and is major now",
            "write info, minor, major, critical or life_safety",
        )
    others = sorted(set(labels) - {"severity"})
    if others:
        draft.lose(
            f"label{'s' if others[1:] else ''} {', '.join(others)}",
            "what they route is said by the rule's workflow",
            alters=False,
        )
    return severity


def _message(annotations: Part, tree: Expression, draft: Draft) -> str:
    """Return the message, with Go's templates turned into ours as far as they can be."""
    texts = {name: part.text() for name, part in annotations.parts()}
    used = next((name for name in ("summary", "description", "message") if texts.get(name)), "")
    others = sorted(set(texts) - {used})
    if others:
        draft.lose(
            f"annotation{'s' if others[1:] else ''} {', '.join(others)}",
            "put what people need of it into the message, or into a template of the workflow",
            alters=False,
        )
    value = _value_field(tree, draft)
    unknown: list[str] = []
    message, position = "", 0
    text = texts.get(used, "")
    for match in _TEMPLATE.finditer(text):
        said = _turn_template(match[1], value)
        unknown += [] if said else [match[0]]
        message += say_plainly(text[position : match.start()]) + (said or "…")
        position = match.end()
    if unknown:
        draft.lose(
            f"{', '.join(dict.fromkeys(unknown))} in the message",
            "write {{ values.FIELD }}, {{ device.label }} or {{ site.name }} for …",
            alters=False,
        )
    return message + say_plainly(text[position:])


def _value_field(tree: Expression, draft: Draft) -> str:
    """Return the field whose value the alert shows: that on the left of a plain comparison."""
    while isinstance(tree, Binary) and tree.sign in {"and", "unless"}:
        tree = tree.left
    series = tree.left if isinstance(tree, Binary) else tree
    if isinstance(series, Selector) and series.metric in draft.on.fields:
        return draft.on.fields[series.metric].name
    return ""


def _turn_template(inner: str, value: str) -> str:
    label = _LABEL_IN_TEXT.fullmatch(inner)
    if label:
        name = label[1] or label[2] or label[3]
        if name in DEVICE_LABELS:
            return "{{ device.label }}"
        return {SITE_LABEL: "{{ site.name }}", _TYPE_LABEL: "{{ device.type }}"}.get(name, "")
    shown = _VALUE_IN_TEXT.fullmatch(inner)
    if shown is None or not value or (shown["filter"] or "humanize") != "humanize":
        return ""
    digits = shown["digits"] or ("1" if shown["filter"] else "")
    return f"{{{{ values.{value} | round({digits}) }}}}" if digits else f"{{{{ values.{value} }}}}"
