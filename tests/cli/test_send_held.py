from twite.cli.send_verdicts import Kind, Receipted, judge
from twite.intake.findings import Row


def test_a_row_that_waits_for_a_person_is_told_as_held():
    rows = [Row(number=number, order=f"order-{number}", body=b"{}") for number in (2, 3)]

    verdicts = judge(rows, Receipted(rejected=(), held_indexes=(1,)))

    assert [one.kind for one in verdicts] == [Kind.ACCEPTED, Kind.HELD]


def test_an_answer_that_holds_rows_there_were_not_is_none_to_these():
    assert not Receipted(rejected=(), held_indexes=(2,)).within(2)
