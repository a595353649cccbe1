"""Errors of databases name the place without the password."""

import pytest

from twite.domain.secret import Secret
from twite.readers.database.connection import DatabaseUnusable, explained, shown_place


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
