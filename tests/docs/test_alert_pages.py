"""Every alert has a page, and the deployment files name only metrics that exist."""

import json
import re
from pathlib import Path

import pytest
import yaml
from every_notice import EVERY_COUNT, EVERY_NOTICE
from prometheus_client.parser import text_string_to_metric_families

from twite.domain.alert import RULES, AlertKind
from twite.domain.history import ConversionCounts
from twite.gateway.alerts.notifier import AlertMessage
from twite.observers.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/how-to/alerts"
HEADINGS = ["Cause", "Opens and resolves", "Meanwhile", "What to do"]
# Labels of Prometheus itself.
UP = "up"


def families():
    metrics = Metrics()
    for notice in EVERY_NOTICE:
        metrics.see(notice)
    metrics.committed(0.1)
    metrics.traced("exported", 1)
    metrics.counted(EVERY_COUNT)
    page = metrics.rendered([ConversionCounts(source="shop", pixel="o8z6j")])
    return list(text_string_to_metric_families(page.decode()))


def samples():
    """The labels of each series by its name, as a query has to write it."""
    return {sample.name: set(sample.labels) for family in families() for sample in family.samples}


def queried(expression):
    """The metrics that a query names, each with the labels it selects by."""
    found = re.findall(r"\b(twite_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\"", labels))) for name, labels in found]


def rules():
    loaded = yaml.safe_load((ROOT / "deploy/prometheus/twite.rules.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels():
    return json.loads((ROOT / "deploy/grafana/twite.json").read_text())["panels"]


@pytest.mark.parametrize("kind", AlertKind)
def test_every_alert_has_a_page_with_meaning_and_fix(kind):
    page = (PAGES / f"{kind}.md").read_text()

    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    assert page.startswith(f"# `{kind}`: {RULES[kind].title}\n")
    assert parts[1::2] == HEADINGS
    assert all(len(part.strip()) > 20 for part in parts[2::2])


@pytest.mark.parametrize("kind", AlertKind)
def test_first_step_of_an_alert_names_only_commands_and_files_of_its_page(kind):
    page = " ".join((PAGES / f"{kind}.md").read_text().split())
    fix = RULES[kind].fix

    named = re.findall(r"twite [a-z]+(?: (?:list|replay|discard))?|Events Manager|store\.\w+", fix)
    assert [words for words in named if words not in page] == []
    assert fix.endswith(".")
    assert len(fix) <= 100


def test_every_alert_page_describes_an_existing_alert():
    assert {page.stem for page in PAGES.glob("*.md")} == {"README", *AlertKind}


def test_every_alert_is_listed_with_its_severity():
    index = (PAGES / "README.md").read_text()

    listed = dict(re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \|", index, re.MULTILINE))

    assert listed == {
        kind: "critical" if rule.urgent else "warning" for kind, rule in RULES.items()
    }


def test_every_field_of_the_webhook_message_is_documented():
    index = (PAGES / "README.md").read_text()
    example = json.loads(index.split("```json\n")[1].split("```")[0])
    table = index.split("| field | meaning |")[1].split("\n\n")[0]
    cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)

    assert list(example) == list(AlertMessage.__struct_fields__)
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == set(AlertMessage.__struct_fields__)


def test_every_metric_is_documented_with_type_labels_and_meaning():
    page = (ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"^\| `(twite_\w+)` \| (\w+) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)

    expected = {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
            family.documentation,
        )
        for family in families()
    }

    assert {
        name: (kind, set(labels.replace("\u2013", "").replace(",", " ").split()), means)
        for name, kind, labels, means in rows
    } == expected


def test_every_metric_has_a_sample_in_these_tests():
    assert [family.name for family in families() if not family.samples] == []


def test_every_prometheus_rule_uses_existing_metrics_and_labels():
    known = samples()

    wrong = [
        (rule["alert"], name)
        for rule in rules()
        for name, labels in queried(rule["expr"])
        if not labels <= known.get(name, {"there is no such metric"}) or name not in known
    ]

    assert wrong == []
    assert all(queried(rule["expr"]) or rule["expr"].startswith(UP) for rule in rules())


def test_every_prometheus_rule_names_an_existing_page():
    named = re.findall(r"docs/[\w/-]+\.md", json.dumps([rule["annotations"] for rule in rules()]))

    assert [page for page in named if not (ROOT / page).exists()] == []
    assert len(named) > 8


def test_every_dashboard_panel_uses_existing_metrics_and_labels():
    known = samples()

    wrong = [
        (panel["title"], name)
        for panel in panels()
        for target in panel["targets"]
        for name, labels in queried(target["expr"])
        if name not in known or not labels <= known[name]
    ]

    assert wrong == []


def test_every_metric_is_on_the_dashboard():
    shown = {
        re.sub(r"_(?:bucket|total)$", "", name)
        for panel in panels()
        for target in panel["targets"]
        for name, _ in queried(target["expr"])
    }

    assert {family.name for family in families()} - shown == set()
