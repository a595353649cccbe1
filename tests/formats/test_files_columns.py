import pytest

from twite.formats.files.table import UnknownColumn, recognise


def columns_of(header, **chosen):
    return dict(recognise(header, chosen).named())


def test_column_names_are_recognized_in_any_case_and_with_spaces_or_underscores():
    assert columns_of(["Order ID", "E-Mail", "USER_AGENT", " createdAt ", "Total"]) == {
        "conversion_id": "Order ID",
        "email": "E-Mail",
        "user_agent": "USER_AGENT",
        "time": "createdAt",
        "value": "Total",
    }


def test_ids_of_the_user_and_the_visitor_are_recognized_for_joins():
    assert columns_of(["user_id", "anonymousId"]) == {
        "user_id": "user_id",
        "visitor_id": "anonymousId",
    }


def test_most_specific_column_for_a_field_is_used():
    columns = recognise(["date", "created_at", "id", "order_id", "colour"], {})

    assert dict(columns.named()) == {"time": "created_at", "conversion_id": "order_id"}
    assert columns.ignored == ("date", "id", "colour")


def test_map_option_overrides_the_recognized_columns():
    assert columns_of(["email", "contact"], email="contact") == {"email": "contact"}


def test_empty_map_option_uses_no_column():
    assert columns_of(["email", "total"], email="") == {"value": "total"}


def test_column_is_used_for_one_field_only():
    assert columns_of(["order_id", "total"], search="order id") == {
        "search": "order_id",
        "value": "total",
    }


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (["id", "total", "total"], {}),
        (["id", "Total", "TOTAL"], {}),
        (["order id", "order_id"], {}),
        (["id", "sum", "sum"], {"value": "sum"}),
        (["id", "Sum", "S u m"], {"value": "sum"}),
    ],
)
def test_field_with_two_columns_of_one_name_is_refused(header, chosen):
    with pytest.raises(UnknownColumn, match="two columns") as wrong:
        recognise(header, chosen)

    assert "--map" in wrong.value.message


def test_two_columns_of_consent_are_refused_until_one_is_chosen():
    header = ["consent", "Marketing consent"]

    with pytest.raises(UnknownColumn, match="--map consent=COLUMN"):
        recognise(header, {})
    assert columns_of(header, consent="consent") == {"consent": "consent"}


def test_map_option_chooses_between_two_columns_of_similar_names():
    assert columns_of(["email", "Email", "note", "note"], email="Email") == {"email": "Email"}
    assert columns_of(["email", "Email"], email="") == {}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"emial": "email"}, '"emial" is not a field of a conversion. Did you mean "email"?'),
        ({"email": "e_mial"}, 'the file has no column "e_mial". Did you mean "email"?'),
        ({"email": "zzz"}, 'the file has no column "zzz". Available: order_id, email'),
    ],
)
def test_unknown_column_in_the_map_option_lists_the_existing_columns(chosen, message):
    with pytest.raises(UnknownColumn) as wrong:
        recognise(["order_id", "email"], chosen)

    assert wrong.value.message == message
