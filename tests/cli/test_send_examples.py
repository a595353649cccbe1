"""The example file and its untidy rows."""

import csv
import runpy
from datetime import datetime
from pathlib import Path

from twite.cli import run

EXAMPLES = Path(__file__).parents[2] / "examples"
SETTINGS = """
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "env:NO_SUCH_TOKEN" }
events = { purchase = "o8z6k", sign_up = "o8z6m", lead = "o8z6p" }
[[source]]
name = "shop"
pixel = "o8z6j"
key = "a-key-that-is-long-enough"
region = "GB"
"""


def verdicts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twite.toml").write_text(SETTINGS)
    (tmp_path / "orders.csv").write_bytes((EXAMPLES / "orders.csv").read_bytes())
    run(["send", "orders.csv", "--dry-run", "--older", "send"])
    with Path("orders.csv.dry-run.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_example_file_is_generated_by_its_script():
    script = runpy.run_path(str(EXAMPLES / "make_orders.py"))
    start = datetime.fromisoformat("2026-11-22T06:00:00Z")

    made = script["spelled"](script["orders"](count=1_000, seed=7, start=start))

    assert made == (EXAMPLES / "orders.csv").read_bytes()


def test_example_file_has_every_kind_of_error(tmp_path, monkeypatch):
    found = {line["code"] for line in verdicts(tmp_path, monkeypatch)}

    assert found >= {
        "",
        "amount_ambiguous",
        "amount_negative",
        "amount_read",
        "currency_read",
        "currency_unknown",
        "email_unusable",
        "id_shared",
        "identifier_missing",
        "ip_private",
        "phone_unusable",
        "placeholder",
        "same_as_earlier",
    }


def test_only_invalid_rows_of_the_example_are_rejected(tmp_path, monkeypatch):
    lines = verdicts(tmp_path, monkeypatch)

    rejected = {line["row"] for line in lines if line["verdict"] == "rejected"}
    reasons = {
        "amount_ambiguous",
        "amount_negative",
        "currency_unknown",
        "id_shared",
        "identifier_missing",
    }
    explained = {line["row"] for line in lines if line["code"] in reasons}
    assert rejected == explained
    assert len(rejected) < 70
