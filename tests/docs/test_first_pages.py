"""README.md's first screen and its first pages: picture, calls from a server, and a query."""

import csv
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from twite.domain.delivery import State
from twite.gateway.x_account.snippets import SnippetCall, snippets

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs/images/history.svg"
CALLS = (ROOT / "docs/how-to/send-from-your-server.md").read_text("utf-8")
DATABASE = (ROOT / "docs/how-to/send-orders-from-a-database.md").read_text("utf-8")
LANGUAGES = {"curl": "sh", "python": "python", "node": "js", "php": "php"}
ORDER = ("S-1001", "2026-11-30T10:00:00Z", "49.90", "EUR", "shopper@shop.example", "", None)


def block(page, language):
    return page.split(f"```{language}\n")[1].split("```")[0]


def test_picture_of_the_readme_has_light_and_dark_colors_and_no_external_url():
    text = PICTURE.read_text("utf-8")

    assert f"]({PICTURE.relative_to(ROOT)})" in (ROOT / "README.md").read_text("utf-8")
    style = text.split("<style>")[1].split("</style>")[0]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    used = {name for group in re.findall(r'class="([\w ]+)"', text) for name in group.split()}
    coloured = set(re.findall(r"\.(\w+)[^{}]*\{[^}]*(?:fill|stroke):", light))
    assert used <= set(re.findall(r"\.([a-z]+)", light))
    assert coloured == set(re.findall(r"\.([a-z]+)", dark)) & coloured
    assert re.findall(r"(?:href|src|url|@import|@font-face)\b.*", text) == []
    assert set(re.findall(r"https?://[^\"]+", text)) == {"http://www.w3.org/2000/svg"}


def test_numbers_in_the_picture_of_the_readme_add_up_to_the_received_ones():
    texts = [element.text for element in ET.fromstring(PICTURE.read_bytes()).iter()]  # noqa: S314
    (sum_of_states,) = [text for text in texts if text and text.startswith("received ")]

    received, *states = [int(number) for number in re.findall(r"\d+", sum_of_states)]

    assert received == sum(states)
    assert set(re.findall(r"[a-z]+", sum_of_states)) - {"received"} <= {*State, "duplicate"}


@pytest.mark.parametrize("kind", LANGUAGES)
def test_documented_call_from_a_server_is_printed_by_twite_events_snippet(kind):
    call = SnippetCall(
        name="purchase",
        event="o8z6k",
        pixel="o8z6j",
        url="https://t.shop.example",
        names_pixel=False,
    )
    (printed,) = [snippet.text for snippet in snippets(call) if snippet.kind == kind]

    assert block(CALLS, LANGUAGES[kind]).strip() == printed.strip()


def test_documented_query_is_accepted_by_send(tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database, database:
        database.execute(
            "CREATE TABLE orders(number, paid_at, total, currency, email, phone, x_click_id,"
            " ad_consent)"
        )
        database.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, true)", ORDER)
        database.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, false)", ("S-1002", *ORDER[1:])
        )
    database.close()
    (tmp_path / "orders.sql").write_text(block(DATABASE, "sql"))

    twite = [sys.executable, "-m", "twite"]
    query = ["send", "--query", "file:orders.sql", "sqlite:///shop.db"]
    for command in (["init", "--emulator"], [*query, "--dry-run", "--older", "send"]):
        done = subprocess.run(
            [*twite, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    report = (tmp_path / "query.dry-run.csv").read_text("utf-8-sig")
    verdicts = {row["order"]: row["verdict"] for row in csv.DictReader(report.splitlines())}
    assert verdicts == {"S-1001": "ready", "S-1002": "suppressed"}
