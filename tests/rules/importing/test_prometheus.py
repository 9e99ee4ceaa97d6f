"""Alerting rules of Prometheus: PromQL said in the language of the book, or listed."""

import pytest

from prevenant.errors import ConfigurationError
from rules.importing.carried import CarriedRule
from rules.importing.prometheus import import_prometheus
from rules.importing.promql import PromqlError, parse_promql

RULE = "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: |\n          {}\n"


def carry(expression: str, more: str = "") -> CarriedRule:
    text = RULE.format(expression.replace("\n", "\n          ")) + more
    (rule,) = import_prometheus(text, "a.yml").rules
    return rule


def notes(rule: CarriedRule) -> str:
    return "\n".join(map(str, rule.unported))


@pytest.mark.parametrize(
    ("expression", "when"),
    [
        ("temp > 30", "temp > 30"),
        ("30 < temp", "temp > 30"),
        ("temp >= 30.50 # warm", "temp >= 30.5"),
        ("temp > -1e3", "temp > -1000"),
        ("(temp) > (bound)", "temp > bound"),
        ("temp - wanted > 4 and temp < 90", "temp - wanted > 4 and temp < 90"),
        ("a > 1 or b > 1 and c > 1", "a > 1 or b > 1 and c > 1"),
        ("(a > 1 or b > 1) and c > 1", "(a > 1 or b > 1) and c > 1"),
        ("a > 1 unless b == 2", "a > 1 and not (b == 2)"),
        ("a - (b - c) > 1", "a - (b - c) > 1"),
        ("(a + b) * 2 / c % 5 > 1", "(a + b) * 2 / c % 5 > 1"),
        ("-a > 1", "-a > 1"),
        ("(a > bool 5) == 1", "a > 5"),
        ("0 == (a > bool 5)", "not (a > 5)"),
        ("avg_over_time(temp[10m]) > 30", "avg(temp, 10m) > 30"),
        ("min_over_time(temp[1h]) < 3", "min(temp, 1h) < 3"),
        ("max_over_time(temp[1d]) > 3", "max(temp, 1d) > 3"),
        ("sum_over_time(temp[1h30m]) > 3", "sum(temp, 90m) > 3"),
        ("stddev_over_time(temp[90s]) > 3", "stddev(temp, 90s) > 3"),
        ("count_over_time(temp[500ms]) == 0", "count(temp, 500ms) == 0"),
        ("last_over_time(temp[1w]) > 3", "last(temp, 7d) > 3"),
        ("changes(temp[10m]) >= 1", "changed(temp, 10m)"),
        ("changes(temp[10m]) == 0", "not changed(temp, 10m)"),
        ("time() - timestamp(temp) > 10 * 60", "age(temp) > 10 * 60"),
        ("temp{job='x'} > 1", "temp > 1"),
    ],
)
def test_what_means_the_same_is_carried_over(expression: str, when: str) -> None:
    rule = carry(expression)
    assert (rule.keys["when"], notes(rule)) == (when, "")


@pytest.mark.parametrize(
    ("expression", "when", "words"),
    [
        ("rate(litres[5m]) > 0.5", "rate(litres, 5m, 1s) > 0.5", "a counter starts again from 0"),
        ("increase(litres[5m]) > 9", "delta(litres, 5m) > 9", "a counter starts again from 0"),
        ("delta(temp[5m]) > 9", "delta(temp, 5m) > 9", "the newest value less the oldest one"),
        ("deriv(temp[5m]) > 1", "rate(temp, 5m, 1s) > 1", "slope of a line through all values"),
        ("absent(temp)", "age(temp) > 5m", "each device that was heard once"),
        ("absent_over_time(temp[1h])", "age(temp) > 1h", "each device that was heard once"),
        ("a > bool 5", "a > 5", "the alert always fires"),
        ("temp{site='t2'} > 1", "temp > 1 and site == 't2'", "taken as the site's name"),
        ("temp{instance!='x'} > 1", "temp > 1 and device != 'x'", "taken as the device's name"),
        (
            "temp{room=~'a|b'} > 1",
            "temp > 1 and room in ['a', 'b']",
            "label room is taken as a field",
        ),
        ("temp{room!~'a|b'} > 1", "temp > 1 and not (room in ['a', 'b'])", "is taken as a field"),
        ("temp{room=~'a.*'} > 1", "temp > 1", 'label matcher room=~"a.*" is left out'),
        ("a > 1 and on(room) b > 1", "a > 1 and b > 1", "joins series of different labels"),
        ("a > 1 and hour() > 8", "a > 1", "one side of `and` is left out: hour()"),
        ("a > 1 unless vector(1) > 8", "a > 1", "one side of `unless` is left out: vector()"),
        ("sum by (instance) (a) > 1", "a > 1", "over all series of a device"),
        ("avg by (site) (a - b) > 1", "site_avg(a, a - b) > 1", "one alert for the site"),
        ("count by (site) (a > 2) > 1", "site_count(a, a > 2) > 1", "one alert for the site"),
        ("min by (site) (a) < 2", "site_count(a, a < 2) > 0", "one alert for the site"),
    ],
)
def test_what_differs_is_noted(expression: str, when: str, words: str) -> None:
    rule = carry(expression)
    assert rule.keys["when"] == when
    assert rule.in_part
    assert words in notes(rule)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("temp", "true wherever its series exist"),
        ("1 > 2", "compares two numbers"),
        ("abs(a) > 1", "write both bounds"),
        ("predict_linear(a[1h], 3600) > 1", "predict_linear()"),
        ("changes(a[1h]) > 3", "only tells whether it did"),
        ("sum(a) > 1", "over the series of many devices"),
        ("avg by (room) (a) > 1", "over the series of many devices"),
        ("max by (site) (a) < 2", "over the series of many devices"),
        ("avg by (site) (rate(a[5m])) > 1", "a function inside an aggregation"),
        ("count by (site) (a{room=~'x.*'} > 1) > 1", "the label matcher room"),
        ("a offset 1h > 1", "moved by offset"),
        ("avg_over_time(a[1h:1m]) > 1", "avg_over_time()"),
        ("a ^ 2 > 1", "`^` inside a number"),
        ("a > 1 or hour() > 8", "hour()"),
        ("a > Inf", "the number inf"),
        ("up == 0", "write silent_after: 5m"),
        ("{room='x'} > 1", "series chosen by labels alone"),
        ("a > > 1", "is not PromQL: at character 5"),
    ],
)
def test_what_cannot_be_said_is_lost_with_its_reason(expression: str, words: str) -> None:
    rule = carry(expression)
    assert rule.keys == {}
    assert words in notes(rule)
    assert rule.original.startswith("expr: ")


@pytest.mark.parametrize(
    "excluded", ["b{room=~'x.*'} > 1", "(b > 1 and hour() > 3)", "(b > bool 1)"]
)
def test_what_is_excluded_is_never_widened(excluded: str) -> None:
    rule = carry(f"a > 1 unless {excluded}")
    assert rule.keys["when"] == "a > 1"
    assert "one side of `unless` is left out" in notes(rule)


def test_times_severity_and_words_come_along() -> None:
    more = """        for: 1m30s
        keep_firing_for: 1d
        labels: {severity: page, team: x}
        annotations:
          summary: "{{ $labels.instance }} at {{ $labels.site }}: {{ printf \\"%.2f\\" $value }} {{ .X }}"
          runbook_url: https://wiki.example.com/
"""
    rule = carry("temp > 30", more)
    assert rule.keys == {
        "on": "temp",
        "when": "temp > 30",
        "for": "90s",
        "clear_for": "1d",
        "severity": "critical",
        "message": "{{ device.label }} at {{ site.name }}: {{ values.temp | round(2) }} …",
    }
    assert not rule.in_part
    for words in ("label team", "annotation runbook_url", "{{ .X }} in the message"):
        assert words in notes(rule)


def test_a_recorded_series_is_what_it_records() -> None:
    text = """groups:
  - name: g
    rules:
      - {record: "room:temp:avg", expr: "avg_over_time(temp[10m])"}
      - {record: "room:temp:diff", expr: "room:temp:avg - wanted"}
      - {record: "loop", expr: "loop + 1"}
      - {alert: A, expr: "room:temp:diff > 3"}
      - {alert: B, expr: "loop > 3"}
"""
    first, second = import_prometheus(text, "a.yml").rules
    assert first.keys["when"] == "avg(temp, 10m) - wanted > 3"
    assert second.keys["when"] == "loop + 1 > 3"


def test_metrics_of_one_rule_and_of_one_first_word_are_one_device_type() -> None:
    text = """groups:
  - name: g
    rules:
      - {alert: A, expr: "boiler_pressure > 3"}
      - {alert: B, expr: "boiler_heat > 3 and burner_on == 1"}
      - {alert: C, expr: "burner_age > 3"}
      - {alert: D, expr: "fan_speed{job='roof'} > 3"}
      - {alert: E, expr: "fan_speed > 3"}
"""
    carried = import_prometheus(text, "a.yml")
    assert [rule.keys["on"] for rule in carried.rules] == [
        "boiler",
        "boiler",
        "boiler",
        "roof",
        "fan",
    ]


def test_the_kubernetes_resource_is_read_too() -> None:
    text = "spec:\n  groups: [{name: g, rules: [{alert: A, expr: a > 1}]}]\n"
    (rule,) = import_prometheus(text, "a.yml").rules
    assert rule.place == "a.yml: spec.groups[0].rules[0] (A)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("groups: [", "a.yml:1:10: this is not YAML"),
        ("rules: []", "a.yml is no file of Prometheus rules"),
        ("groups: 3", "a.yml: groups: expected a list, not '3'"),
        ("groups: [{rules: [3]}]", "expected `key: value` pairs"),
        ("groups: [{rules: [{alert: A}]}]", "expected a rule with `alert:` and `expr:`"),
        ("a: " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_malformed_file_is_one_clear_error(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        import_prometheus(text, "a.yml")
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["", "(", "a[5m", "a{b=1}", "a b", "sum by a", "((((" * 50, "a[5x]", "é"]
)
def test_what_is_not_promql_is_refused(text: str) -> None:
    with pytest.raises(PromqlError):
        parse_promql(text)
