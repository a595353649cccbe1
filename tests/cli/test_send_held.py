from twite.cli.send.results import RowResultKind, SendReceipt, judge
from twite.formats.files.findings import FileRow


def test_a_row_that_waits_for_a_person_is_told_as_held():
    rows = [FileRow(number=number, order=f"order-{number}", body=b"{}") for number in (2, 3)]

    verdicts = judge(rows, SendReceipt(rejected=(), held_indexes=(1,)))

    assert [verdict.kind for verdict in verdicts] == [RowResultKind.ACCEPTED, RowResultKind.HELD]


def test_an_answer_that_holds_rows_there_were_not_is_none_to_these():
    assert not SendReceipt(rejected=(), held_indexes=(2,)).within(2)
