import csv
import io

import msgspec
import pytest

from twite.cli.send.results import (
    HEADER,
    ReportState,
    SendReport,
    earlier_run,
    open_report,
    state_path,
)
from twite.domain.errors import ClientError
from twite.formats.files.findings import RowFinding
from twite.formats.files.results import ResultTally, RowResult, RowResultKind


def state():
    return ReportState(size=10, sha256="ab", options="o")


def verdict(number, *errors):
    found = tuple(RowFinding(field="email", code=code, message="…") for code in errors)
    kind = RowResultKind.REJECTED if errors else RowResultKind.ACCEPTED
    return RowResult(number=number, order=f"o-{number}", kind=kind, errors=found)


def lines(path):
    return list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders.csv.report.csv"


def test_report_has_a_line_for_each_finding_of_a_row(path):
    report = SendReport(path, state())
    report.write([verdict(2), verdict(3, "email_unusable", "identifier_missing")])
    report.close()

    assert lines(path) == [
        list(HEADER),
        ["2", "o-2", "accepted", "", "", ""],
        ["3", "o-3", "rejected", "email_unusable", "email", "…"],
        ["3", "o-3", "rejected", "identifier_missing", "email", "…"],
    ]


def test_report_lines_after_the_last_saved_state_are_removed(path):
    report = SendReport(path, state())
    report.write([verdict(2)])
    report.close()
    with path.open("ab") as file:
        # This text is longer than what replaces it.
        file.write(b"3,o-3,accepted,,,\r\n4,o-4,accepted,,,\r\n5,o-5,acc")

    again = SendReport(path, earlier_run(path, size=10, sha256="ab"))
    again.write([verdict(3)])
    again.close()

    assert [line[0] for line in lines(path)] == ["row", "2", "3"]


def test_earlier_run_is_continued_only_for_the_same_file(path):
    report = SendReport(path, state())
    report.write([verdict(2)])
    report.close()

    same = earlier_run(path, size=10, sha256="ab")

    assert (same.done, same.tally.rows) == (1, 1)
    assert earlier_run(path, size=11, sha256="ab") is None
    assert earlier_run(path, size=10, sha256="cd") is None


@pytest.mark.parametrize("spoilt", [b"", b"{", b"\xff", b'{"size": "x"}'])
def test_damaged_state_file_is_ignored(path, spoilt):
    SendReport(path, state()).close()
    state_path(path).write_bytes(spoilt)

    assert earlier_run(path, size=10, sha256="ab") is None


def test_earlier_run_with_a_shortened_report_is_ignored(path):
    report = SendReport(path, state())
    report.write([verdict(2)])
    report.close()
    path.write_bytes(b"")

    assert earlier_run(path, size=10, sha256="ab") is None


@pytest.mark.parametrize("start", list("=+-@\t\r\0\uff1d\uff0b\uff0d\uff20"))
def test_no_cell_of_the_report_starts_like_a_formula(path, start):
    hostile = RowResult(number=2, order=f"{start}1+1", kind=RowResultKind.ACCEPTED)
    report = SendReport(path, state())
    report.write([hostile])
    report.close()

    assert lines(path)[1][1].startswith("'")


def test_line_break_in_an_order_id_does_not_split_the_report_line(path):
    report = SendReport(path, state())
    report.write([RowResult(number=2, order="a\n3,b", kind=RowResultKind.ACCEPTED)])
    report.close()

    assert lines(path)[1:] == [["2", "a\\n3,b", "accepted", "", "", ""]]


def test_report_of_another_file_is_overwritten_only_on_request(tmp_path, path):
    path.write_text("mine")

    source = tmp_path / "orders.csv"
    source.write_text("order_id")

    with pytest.raises(ClientError, match="is not a report"):
        open_report(path, state(), source=source, overwrite=False)
    open_report(path, state(), source=source, overwrite=True).close()

    assert lines(path) == [list(HEADER)]


def test_summary_counts_each_code_once_per_row_with_its_first_row():
    tally = ResultTally()
    for judged in (verdict(2), verdict(3, "x", "x"), verdict(4, "x", "y")):
        tally.add(judged)

    assert msgspec.to_builtins(tally) == {
        "rows": 3,
        "kinds": {"accepted": 1, "rejected": 2},
        "errors": {
            "x": {"count": 2, "row": 3, "message": "…"},
            "y": {"count": 1, "row": 4, "message": "…"},
        },
        "notes": {},
    }


def test_report_and_state_file_become_readable_only_by_their_owner(path):
    path.write_text("")
    path.chmod(0o644)

    report = SendReport(path, state())
    report.write([verdict(2)])
    report.close()

    assert [oct(written.stat().st_mode & 0o777) for written in (path, state_path(path))] == [
        "0o600"
    ] * 2
