"""What a comparison shows of a value."""

import pytest

from twite.tags.redaction.shown_values import masked_value, shown_path


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("a", None, "null"), ("a", True, "true"), ("a", False, "false"),
        ("a", {"x": 1}, "<object of 1>"), ("a", [1, 2], "<list of 2>"), ("a", 123456, "123456"),
        ("a", "12.3456", '"12.3456"'), ("a", "-5", '"-5"'), ("currency", "EUR", '"EUR"'),
        ("x.currency.0", "EUR", '"EUR"'), ("a.mine", "hello", '"hello"'), ("0", 7, "7"),
        ("currency", "E" * 60, '"' + "E" * 60 + '"'), ("currency", 5, "5"),
    ],
)  # fmt: skip
def test_harmless_value_is_shown_in_a_comparison(path, value, shown):
    assert masked_value(path, value, shown=frozenset({"mine"}), salt=b"s") == shown


@pytest.mark.parametrize(
    ("path", "value"), [("a", 1234567), ("a", "hello"), ("a", 12.34567), ("currency", "E" * 61)]
)
def test_possible_personal_data_in_a_comparison_is_hashed(path, value):
    shown, other, salted = (
        masked_value(where, value, shown=frozenset(), salt=salt)
        for where, salt in ((path, b"s"), (f"b.{path}", b"s"), (path, b"t"))
    )

    assert shown.startswith(f"<{len(f'{value}')} characters, ")
    assert len(shown) == len(f"<{len(f'{value}')} characters, 1234>")
    assert shown == other != salted


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("a.b", "a.b"), ("a.x@y.c", "a.***.c"), ("a.1234567", "a.***"), ("a.123456", "a.123456"),
        ("a.é", "a.***"), ("a." + "x" * 40, "a." + "x" * 40), ("a." + "x" * 41, "a.***"),
    ],
)  # fmt: skip
def test_unusual_keys_of_a_json_path_are_hidden(path, shown):
    assert shown_path(path) == shown
