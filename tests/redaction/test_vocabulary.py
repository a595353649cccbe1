"""Scrubbing on disk and masking in pages and logs use the same field names."""

import pytest

from canaries import (
    EMAIL_FIELDS,
    HARMLESS_FIELDS,
    NAME,
    NAME_FIELDS,
    PHONE_FIELDS,
)
from twite.redaction import words
from twite.redaction.mask_tree import masked_tree
from twite.redaction.vocabulary import (
    PERSONS,
    FieldContext,
    FieldKind,
    kind_of,
    kind_of_name,
    plain,
    promises_secret,
)
from words_of_persons import OF_PERSONS

FIELDS = [
    *((name, FieldKind.EMAIL) for name in EMAIL_FIELDS),
    *((name, FieldKind.PHONE) for name in PHONE_FIELDS),
    *((name, FieldKind.NAME) for name in NAME_FIELDS),
]
# These names mean a product as often as a person: shown at the top level, masked inside personal
# data.
OF_THINGS = {plain(name) for name in words.NAMES_OF_THINGS}


def test_field_with_personal_data_is_recognized_in_any_language_and_spelling():
    assert [(name, kind_of_name(name)[0]) for name, _ in FIELDS] == FIELDS


def test_fields_with_personal_data_are_masked():
    for name, _ in FIELDS:
        assert NAME not in f"{masked_tree({'user_data': {name: NAME}})}"
        if plain(name) not in OF_THINGS:
            assert NAME not in f"{masked_tree({name: NAME})}"
            assert kind_of(name) in PERSONS | {FieldKind.PEOPLE}, name


def test_every_word_for_personal_data_is_masked():
    masked = PERSONS | {FieldKind.DETAIL, FieldKind.PEOPLE}
    said = sorted(set().union(*OF_PERSONS.values()) - OF_THINGS)

    assert [word for word in said if kind_of(word) not in masked] == []


def test_field_about_a_product_is_not_personal_data():
    for name in HARMLESS_FIELDS:
        assert (name, kind_of_name(name)[0]) == (name, None)


@pytest.mark.parametrize("name", ["apiKey", "access_token", "client-secret", "pwd", "Private Key"])
def test_field_with_the_name_of_a_secret_is_masked(name):
    assert promises_secret(name)
    assert kind_of(name) is FieldKind.SECRET


def test_short_name_is_personal_data_only_inside_personal_data():
    assert kind_of_name("name", FieldContext.THINGS)[0] is None
    assert kind_of_name("items.0.name")[0] is None
    assert kind_of_name("user_data.name")[0] is FieldKind.NAME
    assert kind_of_name("cust_name", FieldContext.THINGS)[0] is FieldKind.NAME


@pytest.mark.parametrize("name", ["x-ga-js_client_id", "x-ga-ur", "x-ga-dc", "xGaAnythingNew"])
def test_unknown_field_of_googles_container_is_masked_as_a_token(name):
    """Such a field may identify a browser."""
    assert kind_of(name) is FieldKind.TOKEN


@pytest.mark.parametrize("name", ["x-ga-protocol_version", "x-ga-gcs", "x-ga-measurement_id"])
def test_field_of_googles_container_about_the_hit_is_shown(name):
    assert kind_of(name) is FieldKind.PLAIN


@pytest.mark.parametrize("name", ["acf_2_last_name", "passenger1LastName", "q7.first-name"])
def test_unambiguous_name_is_recognized_whatever_precedes_it(name):
    assert kind_of_name(name, FieldContext.THINGS)[0] is FieldKind.NAME
    assert kind_of(name) is FieldKind.NAME
