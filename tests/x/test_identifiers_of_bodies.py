"""Read identifiers back from a body for X."""

import msgspec
import pytest

from builders import a_conversion
from twite.domain.conversion import Identifiers
from twite.x.encode import conversion_body, persons_of


def test_identifiers_are_read_from_an_encoded_conversion():
    whole = Identifiers(
        click_id="click", email="e" * 64, phone="p" * 64, ip="203.0.113.7", user_agent="agent"
    )
    body = conversion_body(msgspec.structs.replace(a_conversion(), identifiers=whole))

    assert persons_of(body) == (
        Identifiers(click_id="click"),
        Identifiers(email="e" * 64),
        Identifiers(phone="p" * 64),
        Identifiers(),
    )


def test_conversion_without_identifiers_has_none():
    body = conversion_body(msgspec.structs.replace(a_conversion(), identifiers=Identifiers()))

    assert persons_of(body) == ()


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"identifiers": 7}'])
def test_malformed_body_is_an_error(body):
    with pytest.raises(msgspec.DecodeError):
        persons_of(body)
