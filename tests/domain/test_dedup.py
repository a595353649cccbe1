import json

from hypothesis import given
from hypothesis import strategies as st

from twite.domain.conversion import DEFAULT_WINDOW, LEAST_WINDOW, dedup_key, derived_id
from twite.domain.times import HOUR

PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@given(st.tuples(PLAIN, PLAIN, PLAIN), st.tuples(PLAIN, PLAIN, PLAIN))
def test_different_conversions_have_different_deduplication_keys(key, other):
    assert (dedup_key(*key) == dedup_key(*other)) == (key == other)


def test_parts_of_a_deduplication_key_are_separated():
    keys = {
        dedup_key("ab", "c", "d"),
        dedup_key("a", "bc", "d"),
        dedup_key("a", "b", "cd"),
        dedup_key("", "ab", "cd"),
        dedup_key("abcd", "", ""),
    }

    assert len(keys) == 5
    assert {len(key) for key in keys} == {16}


def test_deduplication_key_does_not_change_between_releases():
    assert dedup_key("o8z6j", "o8z6k", "order-1001").hex() == "b45ab04343b43f4f2abf1d676c2809e9"


def test_deduplication_window_is_at_least_that_of_x():
    assert LEAST_WINDOW == 48 * HOUR
    assert DEFAULT_WINDOW > LEAST_WINDOW + 40 * HOUR


def test_derived_conversion_id_has_26_alphanumeric_characters():
    derived = derived_id(salt=b"salt", scope="o8z6j\0o8z6k", repeated=b"what is repeated")

    assert derived == derived.lower()
    assert derived.isalnum()
    assert len(derived) == 26


def test_derived_conversion_id_depends_on_salt_scope_and_content():
    ids = {
        derived_id(salt=salt, scope=scope, repeated=repeated)
        for salt in (b"s", b"t")
        for scope in ("a", "b")
        for repeated in (b"x", b"y")
    }

    assert len(ids) == 8


def test_ten_thousand_orders_have_ten_thousand_derived_ids():
    ids = {
        derived_id(salt=b"s", scope="p\0e", repeated=json.dumps({"order": n}).encode())
        for n in range(10_000)
    }

    assert len(ids) == 10_000
