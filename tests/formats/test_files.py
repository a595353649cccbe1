import msgspec
import pytest

from twite.formats.files.findings import RowIds
from twite.formats.files.json_rows import Conversions, elements
from twite.formats.files.rows import RowOptions
from twite.formats.files.table import (
    NAMES,
    Separated,
    UnreadableFile,
    cells,
    encoding_of,
    kind_of,
    recognise,
    separator_of,
)


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("orders.csv", b"a,b\n", "csv"),
        ("ORDERS.CSV.GZ", b"a,b\n", "csv"),
        ("orders.tsv", b"a\tb\n", "csv"),
        ("orders.json", b"{}", "json"),
        ("orders.ndjson.zst", b"{}", "jsonl"),
        ("export", b'\n{"event": "x"}\n{', "jsonl"),
        ("export", b'[{"event": "x"}]', "json"),
        ("export", b"order_id;total", "csv"),
        ("export.csv", b"PAR1....", "parquet"),
    ],
)
def test_type_of_a_file_is_detected_by_content_and_name(name, start, kind):
    assert kind_of(name, start) == kind


def test_excel_workbook_is_refused_with_a_fix():
    with pytest.raises(UnreadableFile, match="save the sheet as CSV"):
        kind_of("orders.csv", b"PK\x03\x04rest")


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"),
     ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be")],
)  # fmt: skip
def test_encoding_of_a_file_is_detected_by_its_byte_order_mark_or_zeros(encoding, found):
    assert encoding_of("order_id,total\nb\u00fcro,1\n".encode(encoding)) == found


@pytest.mark.parametrize(
    ("sample", "separated"),
    [
        ("a,b,c\n1,2,3\n", Separated(by=",")),
        ("a;b;c\n1,5;2;3\n4,5;5;6\n", Separated(by=";")),
        ("a\tb\n1\t2\n", Separated(by="\t")),
        ('a,b\n"1;2;3",4\n"5;6;7",8\n', Separated(by=",")),
        ("sep=;\na;b\n", Separated(by=";", skip=1)),
        ("email\nshopper@example.com\n", Separated(by=",")),
        ("a;b\n1;2;3\n4;5\n", Separated(by=";")),
        ("a|b|c\n1|2,5|3\n4|5,5|6\n", Separated(by="|")),
        ("id,items\n1,A | B\n2,C | D\n", Separated(by=",")),
    ],
)
def test_column_separator_is_detected_by_equal_numbers_of_cells(sample, separated):
    assert separator_of(sample) == separated


def test_chosen_separator_is_used_and_the_sep_line_of_excel_skipped():
    assert separator_of("a,b\n1,2\n", chosen="^") == Separated(by="^")
    assert separator_of("sep=;\na|b\n", chosen="|") == Separated(by="|", skip=1)


def test_rows_are_numbered_as_a_spreadsheet_shows_them():
    lines = ["id,note\r\n", '1,"two\r\n', 'lines"\r\n', "\r\n", "2,x\r\n"]

    assert list(cells(lines, Separated(by=","))) == [
        (1, ["id", "note"]),
        (2, ["1", "two\r\nlines"]),
        (4, ["2", "x"]),
    ]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["a,b\n", '"never,closed\n', "x,y\n"], "row 2: an opening quote is never closed"),
        (["a,b\n", '"in"side",1\n'], "row 2: a quote inside a quoted cell must be doubled"),
    ],
)
def test_wrong_quote_refuses_the_file_and_names_the_row(lines, sentence):
    with pytest.raises(UnreadableFile, match=sentence):
        list(cells(lines, Separated(by=",")))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"event": "a"}', [b'{"event": "a"}']),
        (b'[{"event": "a"}, 3]', [b'{"event": "a"}', b"3"]),
        (b'{"conversions": [{"event": "a"}]}', [b'{"event": "a"}']),
        (b"\xef\xbb\xbf[]", []),
    ],
)
def test_json_file_can_be_one_conversion_an_array_or_an_object_of_conversions(body, found):
    assert [bytes(raw) for raw in elements(body)] == found


def test_json_lines_in_a_file_of_another_name_are_recognized():
    assert elements(b'{"event": "a"}\n{"event": "b"}\n') is None


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1,]", b'"text"', b'{"conversions": 3}', b'{"conversions": [], "x": 1}', b"[" * 9999],
)
def test_file_with_json_of_another_structure_is_refused(body):
    with pytest.raises(UnreadableFile):
        elements(body)


def conversions(**said):
    known = recognise([name for name in NAMES if name != "time"], {})
    return Conversions(known, RowOptions(**said), ids=RowIds())


def test_native_conversion_in_a_file_is_unchanged():
    written = b'{"event":"purchase", "conversion_id":"o-1", "value": 49.90, "currency":"EUR"}'

    assert conversions().read(1, written).body == written


def test_missing_fields_are_added_and_numbers_keep_their_digits():
    row = conversions(event="purchase", currency="EUR").read(3, b'{"value": 49.90, "event": ""}')

    assert len(row.order) == 26
    assert [note.code for note in row.notes] == ["id_derived"]
    assert row.body == (
        b'{"conversion_id":"%b","event":"purchase","currency":"EUR","value":49.90}'
        % row.order.encode()
    )


@pytest.mark.parametrize(
    ("written", "field", "code"),
    [
        (b'{"emial": "a"}', "emial", "unknown_field"),
        (b'{"email": 3}', "email", "wrong_type"),
        (b"[]", "", "wrong_type"),
        (b'{"event": ', "", "not_json"),
        (b'{"event": "a", "event": "b"}', "event", "duplicate_key"),
        (b'{"value":' + b"[" * 9999, "", "too_deep"),
    ],
)
def test_malformed_conversion_in_a_file_is_refused_alone(written, field, code):
    row = conversions().read(5, written)

    assert row.body is None
    assert [(error.field, error.code) for error in row.errors] == [(field, code)]


def test_rounded_or_shared_id_in_a_json_file_is_refused():
    reader = conversions()
    reader.read(1, b'{"event":"purchase","conversion_id":"o-1","value":49.90,"currency":"EUR"}')

    rounded = reader.read(2, b'{"event":"purchase","conversion_id":"1.00023E+11"}')
    same = reader.read(
        3, b'{"event":"purchase","conversion_id":"o-1","value":"49.9","currency":"EUR"}'
    )
    other = reader.read(
        4, b'{"event":"purchase","conversion_id":"o-1","value":50,"currency":"EUR"}'
    )

    assert [error.code for error in (*rounded.errors, *same.notes, *other.errors)] == [
        "id_rounded",
        "same_as_earlier",
        "id_shared",
    ]
    assert (rounded.body, other.body) == (None, None)


def test_repeated_conversion_in_a_json_file_is_noted():
    reader = conversions()
    written = b'{"event":"purchase","conversion_id":"o-1"}'
    reader.read(1, written)

    assert [note.code for note in reader.read(2, written).notes] == ["same_as_earlier"]


@pytest.mark.parametrize("placeholder", [b'"undefined"', b'"null"', b'" "', b"0"])
def test_placeholder_as_an_order_id_in_json_is_replaced_by_a_derived_id(placeholder):
    row = conversions().read(1, b'{"event":"purchase","conversion_id":%b}' % placeholder)

    assert len(msgspec.json.decode(row.body)["conversion_id"]) == 26


def test_id_that_ends_in_0_does_not_hide_a_shared_id():
    reader = conversions()
    reader.read(1, b'{"event":"purchase","conversion_id":"1.0","email":"a@b.co"}')
    row = reader.read(2, b'{"event":"purchase","conversion_id":"1.0","email":"c@d.co"}')

    assert [error.code for error in row.errors] == ["id_shared"]


def test_derived_id_depends_on_the_content_of_the_row_and_on_equal_rows_before_it():
    first, again = RowIds(), RowIds()

    ids = [first.see(content) for content in (b"a", b"b", b"a")]

    assert len({name for name, _ in ids}) == 3
    assert [again.see(content) for content in (b"c", b"a", b"a", b"b")][1:] == [
        ids[0], ids[2], ids[1],
    ]  # fmt: skip
    assert [note and note.code for _, note in ids] == [None, None, "row_repeated"]


def test_non_ascii_text_in_json_lines_is_unchanged():
    row = conversions().read(1, '{"event":"purchase","conversion_id":"bü"}'.encode())

    assert msgspec.json.decode(row.body)["conversion_id"] == "bü"
