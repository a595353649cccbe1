import csv
import gzip
import json
import re
from pathlib import Path

import pytest
import zstandard
from send_gateway_double import HEADER, KEY, RECEIPT, ids, row, rows, written

from twite.cli import run


def report(path):
    with Path(f"{path}.report.csv").open(encoding="utf-8-sig", newline="") as file:
        return [(line["row"], line["verdict"], line["code"]) for line in csv.DictReader(file)]


def test_send_exits_0_after_sending_every_row(place, gateway, capsys):
    orders = written(place / "orders.csv", rows(3))

    code = run(["send", orders])

    assert code == 0
    assert ids(gateway.sent) == ["o-1", "o-2", "o-3"]
    assert report(orders) == [("2", "accepted", ""), ("3", "accepted", ""), ("4", "accepted", "")]
    said = capsys.readouterr()
    assert "order_id    → conversion_id" in said.err
    assert re.search(r"accepted\s+│\s+3", said.out)


def test_rejections_notes_and_duplicates_are_reported_by_row(place, gateway, capsys):
    lines = [
        row(id="o-1"),
        row(id="o-2", event="unheard"),
        row(id="o-3", total="-5.00"),
        row(id="o-4", email="none@", total="12.5"),
        row(id="o-5", email="nobody"),
        row(id="o-1"),
    ]
    orders = written(place / "orders.csv", lines)

    code = run(["send", orders])

    assert code == 1
    assert report(orders) == [
        ("2", "accepted", ""),
        ("3", "rejected", "event_unknown"),
        ("4", "rejected", "amount_negative"),
        ("5", "accepted", ""),
        ("6", "accepted_with_notes", "email_unusable"),
        ("7", "duplicate", "same_as_earlier"),
    ]
    assert "amount_negative" in capsys.readouterr().out


def test_rows_with_rounded_or_shared_ids_are_rejected_with_exit_code_1(place, gateway, capsys):
    lines = [
        row(id="1.00023E+11"),
        row(id="1,00023E+11").replace("1,00023E+11", '"1,00023E+11"'),
        row(id="1.00023E11"),
        row(id="12E4"),
        row(id="o-1"),
        row(id="o-1", total="2.00"),
        row(id="o-1", email="b@example.com"),
    ]
    orders = written(place / "orders.csv", lines)

    code = run(["send", orders])

    assert code == 1
    assert [line[1:] for line in report(orders)] == [
        ("rejected", "id_rounded"),
        ("rejected", "id_rounded"),
        ("rejected", "id_rounded"),
        ("accepted", ""),
        ("accepted", ""),
        ("rejected", "id_shared"),
        ("rejected", "id_shared"),
    ]
    assert ids(gateway.sent) == ["12E4", "o-1"]
    said = " ".join(capsys.readouterr().out.split())
    assert "formatted as text" in said


@pytest.mark.parametrize(
    ("mark", "options"), [("|", ()), ("^", ("--delimiter", "^")), ("\t", ("--delimiter", "tab"))]
)
def test_column_separator_is_detected_or_chosen(place, gateway, mark, options):
    orders = place / "orders.csv"
    orders.write_text("\n".join([HEADER, *rows(2)]).replace(",", mark))

    assert run(["send", str(orders), *options]) == 0
    assert ids(gateway.sent) == ["o-1", "o-2"]


def test_amount_column_with_an_unknown_name_is_reported(place, gateway, capsys):
    orders = place / "orders.csv"
    orders.write_text("\n".join([HEADER.replace("total", "Gesamtbetrag"), *rows(1)]))

    run(["send", str(orders)])

    assert (
        "note: no amount column: conversions are sent without a value. "
        'To use a column, add --map value=COLUMN. Did you mean "Gesamtbetrag"?'
    ) in capsys.readouterr().err


def test_report_says_why_a_row_is_suppressed(place, gateway):
    gateway.judge = lambda _: (
        202,
        {
            "receipt": "r", "accepted": 0, "duplicates": 0, "suppressed": 1, "rejected": [],
            "suppressed_indexes": [0],
            "suppressed_reasons": [{"index": 0, "reason": "consent_denied: ad_storage"}],
        },
    )  # fmt: skip
    orders = written(place / "orders.csv", rows(1))

    run(["send", orders])

    assert report(orders) == [("2", "suppressed", "suppressed")]
    assert "consent_denied: ad_storage" in (place / "orders.csv.report.csv").read_text("utf-8-sig")


def test_report_and_output_contain_no_personal_data(place, gateway, capsys):
    orders = written(place / "orders.csv", [row(email="shopper-of-note"), row(id="o-2")])

    run(["send", orders])

    said = capsys.readouterr()
    kept = (place / "orders.csv.report.csv").read_text("utf-8-sig")
    for text in (said.out, said.err, kept):
        assert "shopper-of-note" not in text
        assert "a@example.com" not in text
        assert KEY not in text


@pytest.mark.parametrize("person", ["a@shop.example", "+44 20 7946 0016"])
def test_report_masks_an_order_id_that_is_an_email(place, gateway, capsys, person):
    orders = written(place / "orders.csv", [row(id=person), row(id="o-2")])

    run(["send", orders])

    said = capsys.readouterr()
    kept = (place / "orders.csv.report.csv").read_text("utf-8-sig")
    assert [text for text in (said.out, said.err, kept) if person in text] == []
    assert kept.splitlines()[1].startswith("2,***,")


def test_order_id_is_not_a_spreadsheet_formula_in_the_report(place, gateway):
    orders = written(place / "orders.csv", [row(id="=HYPERLINK(1)")])

    run(["send", orders])

    assert "'=HYPERLINK(1)" in (place / "orders.csv.report.csv").read_text("utf-8-sig")
    assert ids(gateway.sent) == ["=HYPERLINK(1)"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_file_is_read_in_the_given_encoding(place, gateway, encoding):
    orders = written(place / "orders.csv", [row(id="bü-1")], encoding=encoding)

    assert run(["send", orders]) == 0
    assert ids(gateway.sent) == ["bü-1"]


@pytest.mark.parametrize("packed", [gzip.compress, zstandard.compress])
def test_compressed_file_is_recognized_without_its_extension(place, gateway, packed):
    orders = written(place / "orders.csv", rows(2), packed=packed)

    assert run(["send", orders]) == 0
    assert ids(gateway.sent) == ["o-1", "o-2"]


def test_file_in_another_encoding_is_refused(place, gateway, capsys):
    orders = written(place / "orders.csv", [row(), row(id="bü-2")], encoding="latin-1")

    assert run(["send", orders]) == 1
    assert gateway.requests == []
    assert "line 3: not UTF-8" in capsys.readouterr().err


def test_json_and_json_lines_are_sent_unchanged(place, gateway):
    lines = place / "more.jsonl"
    lines.write_text('{"event":"purchase","conversion_id":"l-1","value":49.90}\n\n{"event":3}\n')
    whole = place / "one.json"
    whole.write_text('{"conversions": [{"event": "purchase", "conversion_id": "w-1"}]}')

    code = run(["send", str(lines), str(whole)])

    assert code == 1
    assert ids(gateway.sent) == ["l-1", "w-1"]
    assert report(lines) == [("1", "accepted", ""), ("3", "rejected", "wrong_type")]


def test_rows_without_an_id_get_the_same_id_every_time(place, gateway):
    orders = place / "orders.csv"
    orders.write_text("event,email\npurchase,a@example.com\npurchase,b@example.com\n")

    run(["send", str(orders)])
    run(["send", str(orders), "--restart"])

    first, again = gateway.requests
    assert ids(first) == ids(again)
    assert len(set(ids(first))) == 2
    assert report(orders) == [("2", "duplicate", ""), ("3", "duplicate", "")]


def test_interrupted_send_continues_where_it_stopped(place, gateway, capsys):
    orders = written(place / "orders.csv", rows(1200))
    gateway.script = [(202, RECEIPT), (401, {})]

    stopped = run(["send", orders])
    finished = run(["send", orders])

    assert (stopped, finished) == (1, 0)
    assert [len(request) for request in gateway.requests] == [500, 500, 500, 200]
    assert ids(gateway.requests[2])[0] == "o-501"
    assert [number for number, _, _ in report(orders)] == [str(n) for n in range(2, 1202)]
    assert "continuing after the 500 rows" in capsys.readouterr().err


def test_completely_sent_file_is_sent_again_only_with_the_option(place, gateway, capsys):
    orders = written(place / "orders.csv", rows(2))
    run(["send", orders])

    code = run(["send", orders])

    assert code == 0
    assert len(gateway.requests) == 1
    assert "Use --restart to send the file again" in capsys.readouterr().err


def test_changed_file_is_sent_from_the_start(place, gateway):
    orders = written(place / "orders.csv", rows(2))
    run(["send", orders])
    written(place / "orders.csv", rows(3))

    run(["send", orders])

    assert report(orders) == [("2", "duplicate", ""), ("3", "duplicate", ""), ("4", "accepted", "")]


def test_send_with_other_options_starts_from_the_beginning(place, gateway, capsys):
    orders = written(place / "orders.csv", rows(600))
    gateway.script = [(202, RECEIPT), (401, {})]
    run(["send", orders])

    code = run(["send", orders, "--decimal", "comma"])

    assert code == 1
    assert "--restart" in capsys.readouterr().err
    assert len(gateway.requests) == 2


def test_row_that_the_gateway_refuses_does_not_affect_other_rows(place, gateway):
    def strict(conversions):
        if any(conversion["conversion_id"] == "o-5" for conversion in conversions):
            path = f"conversions[{ids(conversions).index('o-5')}].email"
            return 400, {"errors": [{"path": path, "code": "odd", "message": "odd"}]}
        return gateway.usual(conversions)

    gateway.judge = strict
    orders = written(place / "orders.csv", rows(8))

    assert run(["send", orders]) == 1
    assert [line for line in report(orders) if line[1] != "accepted"] == [("6", "rejected", "odd")]


def test_unreachable_gateway_ends_the_run_with_the_number_of_unsent_rows(place, capsys):
    orders = written(place / "orders.csv", rows(2))

    code = run(["send", orders, "--to", "http://127.0.0.1:9", "--wait", "0", "--json"])

    assert code == 1
    said = capsys.readouterr()
    assert "no gateway answers at http://127.0.0.1:9" in said.err
    assert json.loads(said.out)["files"][0]["not_sent"] == 2


def test_dry_run_validates_like_the_gateway_and_sends_nothing(place, gateway):
    orders = written(place / "orders.csv", [row(), row(id="o-2", email="none")])

    code = run(["send", orders, "--dry-run"])

    assert code == 1
    assert gateway.requests == []
    assert not (place / "orders.csv.report.csv").exists()
    with (place / "orders.csv.dry-run.csv").open(encoding="utf-8-sig") as file:
        verdicts = [(line["row"], line["verdict"], line["code"]) for line in csv.DictReader(file)]
    assert verdicts == [
        ("2", "ready", ""),
        ("3", "rejected", "identifier_missing"),
        ("3", "rejected", "placeholder"),
    ]


def test_send_prints_its_result_as_json(place, gateway, capsys):
    orders = written(place / "orders.csv", [row(), row(id="o-2", total="-1")])

    run(["send", orders, "--json"])

    assert json.loads(capsys.readouterr().out) == {
        "dry_run": False,
        "files": [
            {
                "file": orders,
                "format": "csv",
                "rows": 2,
                "accepted": 1,
                "duplicates": 0,
                "suppressed": 0,
                "held": 0,
                "skipped": 0,
                "rejected": 1,
                "not_sent": 0,
                "rejected_by": [
                    {
                        "code": "amount_negative",
                        "count": 1,
                        "row": 3,
                        "message": '"-1" is below zero: a refund is not a conversion',
                    }
                ],
                "notes": [],
                "columns": {
                    "conversion_id": "order_id",
                    "time": "created_at",
                    "event": "event",
                    "value": "total",
                    "currency": "currency",
                    "email": "email",
                },
                "ignored": [],
                "column_notes": [],
                "report": f"{orders}.report.csv",
            }
        ],
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [("orders.json", b'[{"event": "purchase"}]'), ("orders.json", b'{"event": "a"}\n{}')],
)
def test_json_file_that_is_too_large_for_memory_is_refused_with_a_fix(
    place, gateway, capsys, monkeypatch, *, name, content
):
    monkeypatch.setattr("twite.readers.files.MOST_IN_MEMORY", len(content) - 1)
    (place / name).write_bytes(content)

    assert run(["send", name, "--yes"]) == 1
    assert "write one conversion per line (JSON Lines)" in " ".join(capsys.readouterr().err.split())
    assert gateway.requests == []


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le"])
def test_text_with_characters_of_no_text_file_is_refused(place, gateway, capsys, encoding):
    orders = written(place / "orders.csv", rows(3), encoding=encoding)

    assert run(["send", orders, "--yes"]) == 1
    assert "NUL characters" in " ".join(capsys.readouterr().err.split())
    assert gateway.requests == []


def test_rows_without_an_id_keep_their_ids_when_the_file_grows(place, gateway):
    lines = [row(id="", email=f"{number}@example.com") for number in range(3)]
    file = written(place / "orders.csv", [*lines, lines[0]])
    run(["send", file, "--yes"])
    written(place / "orders.csv", [row(id="", email="new@example.com"), *lines, lines[0]])

    assert run(["send", file, "--yes"]) == 0
    assert len(set(ids(gateway.sent))) == 5
    verdicts = Path(f"{file}.report.csv").read_text("utf-8-sig")
    assert verdicts.count(",duplicate,") == 4
    assert verdicts.count("row_repeated") == 1
