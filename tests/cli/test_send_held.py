from twite.cli.send.client import decoded
from twite.formats.files.findings import FileRow
from twite.formats.files.results import RowResultKind, judge, within
from twite.formats.native.answers import NativeReceipt


def an_answer(held: int) -> NativeReceipt:
    return NativeReceipt(
        receipt="r1", accepted=1, duplicates=0, suppressed=0, rejected=(), held_indexes=(held,)
    )


def test_row_that_the_gateway_holds_is_reported_as_held():
    rows = [FileRow(number=number, order=f"order-{number}", body=b"{}") for number in (2, 3)]

    verdicts = judge(rows, an_answer(1))

    assert [verdict.kind for verdict in verdicts] == [RowResultKind.ACCEPTED, RowResultKind.HELD]


def test_response_with_more_held_rows_than_the_request_has_is_refused():
    assert not within(an_answer(2), 2)


def test_unknown_code_in_the_response_of_a_newer_gateway_is_reported():
    body = (
        b'{"receipt":"r1","accepted":0,"duplicates":0,"suppressed":0,"later":1,"rejected":'
        b'[{"index":0,"errors":[{"path":"email","code":"of_tomorrow","message":"not so"}]}]}'
    )
    answer = decoded(body, NativeReceipt)

    (verdict,) = judge([FileRow(number=2, order="order-2", body=b"{}")], answer)

    assert verdict.kind is RowResultKind.REJECTED
    assert [(error.field, error.code) for error in verdict.errors] == [("email", "of_tomorrow")]
