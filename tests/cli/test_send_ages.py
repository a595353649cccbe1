"""Times that no column gives, and rows that the gateway may have forgotten."""

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from send_gateway_double import KEY, ids, row, written

from twite.cli import run


def ago(**span):
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="seconds")


def report(path):
    with Path(f"{path}.report.csv").open(encoding="utf-8-sig", newline="") as file:
        return [(line["order"], line["verdict"], line["code"]) for line in csv.DictReader(file)]


def said(capsys):
    return " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().err).split())


@pytest.mark.parametrize(
    ("days", "line"),
    [
        (2, ("o-1", "rejected", "older_than_memory")),
        (7, ("o-1", "accepted", "")),
    ],
)
def test_gateway_elsewhere_says_how_long_it_detects_duplicates(
    place, gateway, monkeypatch, *, days, line
):
    monkeypatch.setenv("THE_KEY", KEY)
    gateway.dedup_window = days * 86_400
    orders = written(place / "orders.csv", [row(time=ago(days=3))])

    run(["send", orders, "--to", gateway.url, "--key-from", "env:THE_KEY", "--yes"])

    assert report(orders) == [line]


def test_gateway_elsewhere_that_knows_no_such_key_gets_no_conversions(
    place, gateway, monkeypatch, capsys
):
    monkeypatch.setenv("THE_KEY", "another-key-that-is-long")
    orders = written(place / "orders.csv", [row()])

    assert run(["send", orders, "--to", gateway.url, "--key-from", "env:THE_KEY"]) == 1
    assert "the gateway does not know this key" in said(capsys)
    assert gateway.requests == []


CELLS = [
    ("placed_at", "2026-11-22T06:00:00Z"),
    ("Bestelltag", "22.11.2026"),
    ("when", "11/22/2026"),
    ("order_ts", "1795327247"),
    ("Kaufzeit", "46348.25"),
]


@pytest.mark.parametrize(("name", "cell"), CELLS)
@pytest.mark.parametrize("options", [["--yes"], [], ["--dry-run"]])
def test_unmapped_column_of_dates_stops_a_send_that_cannot_ask(
    place, gateway, capsys, *, name, cell, options
):
    (place / "orders.csv").write_text(f"order_id,event,email,{name}\no-1,purchase,a@b.co,{cell}\n")

    code = run(["send", "orders.csv", *options])

    assert code == 2
    assert f'--map time="{name}", or --map time=' in said(capsys)
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("column", "cell"), [("note", "gift"), ("stock", "1795327247"), ("placed_at", ""), ("sku", "7")]
)
def test_other_unmapped_columns_do_not_stop_a_send(place, gateway, column, cell):
    (place / "orders.csv").write_text(
        f"order_id,event,email,{column}\no-1,purchase,a@b.co,{cell}\n"
    )

    assert run(["send", "orders.csv", "--yes"]) == 0


def test_current_time_is_used_only_if_asked_for(place, gateway):
    (place / "orders.csv").write_text(
        "order_id,event,email,placed_at\no-1,purchase,a@b.co,2026-11-22\n"
    )

    assert run(["send", "orders.csv", "--yes", "--map", "time="]) == 0
    assert "time" not in gateway.sent[0]


def test_column_of_dates_beside_a_known_time_is_ignored(place, gateway):
    (place / "orders.csv").write_text(
        f"order_id,event,email,created_at,shipped_at\no-1,purchase,a@b.co,{ago(hours=1)},2026-11-22\n"
    )

    assert run(["send", "orders.csv", "--yes"]) == 0


def test_person_at_a_terminal_is_asked_for_the_time_column(place, gateway, monkeypatch):
    at = ago(hours=2)
    (place / "orders.csv").write_text(
        f"order_id,event,email,shipped_at,placed_at\no-1,purchase,a@b.co,,{at}\n"
    )
    questions = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda asked, **_: questions.append(asked) or True)

    assert run(["send", "orders.csv"]) == 0
    assert questions[0] == 'orders.csv: is the column "placed_at" the time of the conversions?'
    assert gateway.sent[0]["time"] == at.replace("+00:00", ".000Z")


def test_extra_json_key_is_ignored_as_an_extra_column(place, gateway, capsys):
    (place / "orders.jsonl").write_text(
        json.dumps({"event": "purchase", "conversion_id": "o-1", "twpid": "p", "cohort": [1]})
    )

    assert run(["send", "orders.jsonl", "--yes"]) == 0
    assert gateway.sent == [{"event": "purchase", "conversion_id": "o-1", "twpid": "p"}]
    assert "ignored: cohort" in capsys.readouterr().err


def test_email_as_a_json_key_is_masked_in_the_output(place, gateway, capsys):
    (place / "orders.jsonl").write_text(
        '{"event":"purchase","conversion_id":"o-1","canary@shop.example":1}'
    )

    run(["send", "orders.jsonl", "--json"])
    run(["send", "orders.jsonl", "--restart"])

    assert "canary" not in "".join(capsys.readouterr())


def test_json_keys_are_recognized_and_mapped_as_columns(place, gateway):
    text = '{"event":"purchase","Order ID":9007199254740993,"total":49.90,"Contact":"a@b.co"'
    (place / "orders.jsonl").write_text(text + f',"created_at":"{ago(hours=1)[:-6]}"}}')

    code = run(["send", "orders.jsonl", "--map", "email=Contact", "--timezone", "UTC"])

    assert code == 0
    (sent,) = gateway.sent
    assert (sent["conversion_id"], sent["value"], sent["email"]) == (
        9007199254740993,
        49.9,
        "a@b.co",
    )
    assert sent["time"].endswith(".000Z")


def test_json_key_with_dates_stops_a_send_that_cannot_ask(place, gateway, capsys):
    (place / "orders.jsonl").write_text(
        '{"event":"purchase","conversion_id":"o-1","placed_at":"2026-11-22T06:00:00Z"}\n{]\n'
    )

    assert run(["send", "orders.jsonl", "--yes"]) == 2
    assert '--map time="placed_at"' in said(capsys)
    assert gateway.requests == []


def test_key_given_twice_is_refused_even_if_another_key_is_ignored(place, gateway):
    (place / "orders.jsonl").write_text(
        '{"event":"purchase","conversion_id":"o-1","email":"a@b.co","email":"c@b.co","x":1}'
    )

    assert run(["send", "orders.jsonl"]) == 1
    assert report("orders.jsonl") == [("", "rejected", "duplicate_key")]


OLD_AND_NEW = [row(id="old", time=ago(days=8)), row(id="new", time=ago(days=5))]


def test_row_that_the_gateway_may_have_forgotten_is_rejected_at_first(place, gateway, capsys):
    orders = written(place / "orders.csv", OLD_AND_NEW)

    assert run(["send", orders, "--yes"]) == 1
    assert ids(gateway.sent) == ["new"]
    assert report(orders)[0] == ("old", "rejected", "older_than_memory")
    assert "--older send" in " ".join(capsys.readouterr().out.split())

    assert run(["send", orders, "--yes", "--older", "send"]) == 0
    assert ids(gateway.sent)[1:] == ["old", "new"]


def test_nightly_export_skips_rows_that_the_gateway_may_have_forgotten(place, gateway, capsys):
    orders = written(place / "orders.csv", OLD_AND_NEW)

    assert run(["send", orders, "--yes", "--older", "skip", "--json"]) == 0
    assert ids(gateway.sent) == ["new"]
    assert report(orders)[0] == ("old", "skipped", "older_skipped")
    (result,) = json.loads(capsys.readouterr().out)["files"]
    assert (result["skipped"], result["accepted"], result["not_sent"]) == (1, 1, 0)


def test_json_rows_have_the_same_age_limit(place, gateway):
    old = {"event": "purchase", "conversion_id": "old", "time": ago(days=8)}
    denied = old | {"conversion_id": "denied", "consent": {"ad_storage": "denied"}}
    (place / "orders.jsonl").write_text(json.dumps(old) + "\n" + json.dumps(denied))

    assert run(["send", "orders.jsonl", "--older", "skip"]) == 0
    assert ids(gateway.sent) == ["denied"]


def test_age_limit_follows_the_settings_and_allows_for_wrong_time_zones(place, gateway):
    settings = place / "twite.toml"
    settings.write_text(settings.read_text() + '[store]\ndedup_window = "10d"\n')
    lines = [row(id=f"{days}d", time=ago(days=days, minutes=-5)) for days in (8, 9, 10)]
    orders = written(place / "orders.csv", lines)

    assert run(["send", orders, "--older", "skip"]) == 0
    assert ids(gateway.sent) == ["8d", "9d"]


def test_json_row_without_a_time_is_rejected_if_other_rows_have_one(place, gateway):
    del gateway
    lines = place / "orders.jsonl"
    first = {"conversion_id": "a", "event": "purchase", "email": "a@b.co", "time": ago(hours=1)}
    second = {**first, "conversion_id": "b", "time": None}
    third = {
        "conversion_id": "c",
        "event": "purchase",
        "email": "a@b.co",
        "created_at": ago(hours=2),
    }
    lines.write_text("\n".join(map(json.dumps, (first, second, third))))

    run(["send", str(lines), "--yes"])

    assert report(lines) == [
        ("a", "accepted", ""),
        ("b", "rejected", "time_missing"),
        ("", "rejected", "name_differs"),
    ]
