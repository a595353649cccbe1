import gzip
import re

import pytest
from send_gateway_double import KEY, ids, rows, written

from twite.cli import run


def test_send_with_a_key_file_needs_no_settings(place, gateway):
    (place / "twite.toml").unlink()
    (place / "key").write_text(KEY + "\n")
    orders = written(place / "orders.csv", rows(1))

    assert run(["send", orders, "--to", gateway.url, "--key-from", "file:key"]) == 0
    assert ids(gateway.sent) == ["o-1"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--map", "emial=email"], 'Did you mean "email"?'),
        (["--map", "email"], "must be FIELD=COLUMN, such as email=Contact"),
        (["--map", "event="], "has no event column"),
        (["--timezone", "Mars/Base"], "unknown time zone"),
        (["--currency", "XX"], "not an ISO 4217 currency code"),
        (["--source", "shap"], "Available: shop"),
        (["--to", "somewhere"], "must be an address, such as https://"),
        (["--to", "http://127.0.0.1:9", "--key-from", "sesame"], "env:NAME or file:PATH"),
    ],
)
def test_invalid_options_of_send_exit_2_with_an_explanation(
    place, gateway, capsys, options, sentence
):
    orders = written(place / "orders.csv", rows(1))

    code = run(["send", orders, *options])

    assert code == 2
    assert sentence in " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().err).split())
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "none.csv: cannot be read: No such file"),
        ("empty.csv", b"", "empty.csv: the file is empty"),
        ("orders.csv", b"PK\x03\x04", "save the sheet as CSV"),
        ("orders.csv", b'order_id,event\n"1,purchase\n', "row 2: an opening quote"),
        ("orders.csv.gz", gzip.compress(b"order_id,event\n" * 99, mtime=0)[:-9], "cannot be read"),
        ("orders.json", b"{]", "not JSON"),
        ("orders.parquet", b"order_id", "the file name says Parquet"),
    ],
)
def test_unreadable_file_is_refused_with_one_sentence(
    place, gateway, capsys, *, name, content, sentence
):
    if content is not None:
        (place / name).write_bytes(content)

    code = run(["send", name, "--event", "purchase"])

    assert code == 1
    assert sentence in capsys.readouterr().err
    assert gateway.requests == []


def test_report_does_not_overwrite_another_file(place, gateway, capsys):
    orders = written(place / "orders.csv", rows(1))
    (place / "notes.csv").write_text("my own notes")

    refused = run(["send", orders, "--report", "notes.csv"])
    itself = run(["send", orders, "--report", "orders.csv", "--yes"])

    assert (refused, itself) == (1, 1)
    assert (place / "notes.csv").read_text() == "my own notes"
    assert "is the file to send" in capsys.readouterr().err
