"""Errors of databases name the place without the password."""

import pytest

from twite.domain.secret import Secret
from twite.readers.database.connection import DatabaseUnusable, explained, shown_place
from twite.readers.database.open import open_database


@pytest.mark.parametrize("password", ["s3cret-word", "ab/Cd-word", "p@ss:word?", "50%25-word"])
def test_password_of_a_url_is_in_no_error(password):
    url = f"postgresql://reader:{password}@db.shop.example:5432/shop?sslmode=require"
    said = f"no password {password!r} or {password.replace('%25', '%')!r} for {url}"

    with (
        pytest.raises(DatabaseUnusable) as raised,
        explained(shown_place(url), (ValueError,), Secret(url)),
    ):
        raise ValueError(said)

    assert shown_place(url) == "postgresql://reader@db.shop.example:5432/shop"
    assert password not in str(raised.value)
    assert password.replace("%25", "%") not in str(raised.value)


def test_password_among_the_options_of_a_url_is_in_no_error():
    url = "postgresql://db.shop.example/shop?user=reader&password=s3cret-word"

    with (
        pytest.raises(DatabaseUnusable) as raised,
        explained(shown_place(url), (ValueError,), Secret(url)),
    ):
        raise ValueError("refused: s3cret-word")

    assert str(raised.value) == "postgresql://db.shop.example/shop: refused: ***"


class OfPostgres(Exception):
    def __init__(self, text, sqlstate):
        super().__init__(text)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OfPostgres('invalid input syntax for type numeric: "Anna "A"\nMuster"', "22P02"),
            "invalid input syntax for type numeric … (SQLSTATE 22P02)",
        ),
        (
            OfPostgres('invalid value "Anna" for "YYYY"', "22007"),
            "invalid value … (SQLSTATE 22007)",
        ),
        (
            OfPostgres("no order of Anna: 'Anna'", "P0001"),
            "a function of the query fails (SQLSTATE P0001)",
        ),
        (
            OfPostgres('column "totl" does not exist', "42703"),
            'column "totl" does not exist (SQLSTATE 42703)',
        ),
        (
            ValueError("Could not decode to UTF-8 column 'name' with text 'Anna\nMuster'"),
            "Could not decode to UTF-8 column 'name' with text …",
        ),
        (
            ValueError("(1292, \"Incorrect DATE value: 'Anna'\")\n[SQL: x]"),
            '(1292, "Incorrect DATE value: …',
        ),
    ],
)
def test_values_of_rows_are_in_no_error(error, said):
    with pytest.raises(DatabaseUnusable) as raised, explained("db", (Exception,), Secret("db")):
        raise error

    assert str(raised.value) == f"db: {said}"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql"])
@pytest.mark.parametrize("mark", "/#?[]@")
def test_password_that_is_not_escaped_is_refused_before_connecting(scheme, mark):
    url = f"{scheme}://reader:s3cret{mark}word@127.0.0.1:1/shop"

    with pytest.raises(DatabaseUnusable, match="percent-encode") as raised:
        open_database(Secret(url))

    assert "s3cret" not in str(raised.value)
    assert "word@" not in str(raised.value)
