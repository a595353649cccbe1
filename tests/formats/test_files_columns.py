import pytest

from twite.formats.files.table import UnknownColumn, recognise


def taken(header, **chosen):
    return dict(recognise(header, chosen).named())


def test_case_spaces_and_underscores_do_not_count():
    assert taken(["Order ID", "E-Mail", "USER_AGENT", " createdAt ", "Total"]) == {
        "conversion_id": "Order ID",
        "email": "E-Mail",
        "user_agent": "USER_AGENT",
        "time": "createdAt",
        "value": "Total",
    }


def test_the_surest_name_is_taken_and_others_are_ignored():
    columns = recognise(["date", "created_at", "id", "order_id", "colour"], {})

    assert dict(columns.named()) == {"time": "created_at", "conversion_id": "order_id"}
    assert columns.ignored == ("date", "id", "colour")


def test_a_choice_goes_before_the_names():
    assert taken(["email", "contact"], email="contact") == {"email": "contact"}


def test_a_choice_of_nothing_takes_no_column():
    assert taken(["email", "total"], email="") == {"value": "total"}


def test_a_column_is_taken_once():
    assert taken(["order_id", "total"], search="order id") == {
        "search": "order_id",
        "value": "total",
    }


def test_of_two_columns_with_one_name_the_first_is_taken():
    columns = recognise(["email", "Email"], {})

    assert columns.taken == {"email": 0}
    assert columns.ignored == ("Email",)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"emial": "email"}, '"emial" is not a field of a conversion. Did you mean "email"?'),
        ({"email": "e_mial"}, 'the file has no column "e_mial". Did you mean "email"?'),
        ({"email": "zzz"}, 'the file has no column "zzz". Available: order_id, email'),
    ],
)
def test_a_choice_that_is_not_there_names_what_is(chosen, message):
    with pytest.raises(UnknownColumn) as wrong:
        recognise(["order_id", "email"], chosen)

    assert wrong.value.message == message
