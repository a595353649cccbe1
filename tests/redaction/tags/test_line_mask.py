"""A line mask hides known secrets and personal data in log lines, up to its limits."""

import json

import pytest

from canaries import EMAIL_FIELDS, NAME, NAME_FIELDS, PHONE_FIELDS, ROWS, found_in
from twite.tags.redaction import mask_line
from twite.tags.redaction.mask_line import LineMask, telling

LOOKED_AT = 16 * 1024


def masked(text, *persons, most=100_000, **said):
    return LineMask([], {}, persons=persons, **said).own(text, most=most)


def nested(levels, value="Mug", *, around=lambda value: {"a": value}):
    for _ in range(levels):
        value = around(value)
    return value


def reported(event):
    return sorted({*telling(event)})


@pytest.mark.parametrize(
    ("persons", "line"),
    [
        (["Griselda"], "*** and *** and Anna"),
        (["Anna"], "Griselda and GRISELDA and ***"),
        (["Ann"], "Griselda and GRISELDA and Anna"),
        (["  griselda "], "*** and *** and Anna"),
        (["Griselda", "Griselda and GRISELDA"], "*** and Anna"),
        (["  ", ""], "Griselda and GRISELDA and Anna"),
    ],
)
def test_known_texts_of_four_letters_are_masked(persons, line):
    assert masked("Griselda and GRISELDA and Anna", *persons) == line


def test_text_that_gets_longer_in_lower_case_is_masked():
    assert masked("İ Griselda griselda", "griselda") == "İ Griselda ***"


def test_line_mask_without_known_texts_hides_everything():
    assert masked("order 7", blind=True) == "…"


@pytest.mark.parametrize(
    ("many", "length", "is_remembered"),
    [(50, 3, True), (51, 3, False), (2, 500, True), (2, 501, False)],
)
def test_only_short_lists_of_fields_are_cached(many, length, is_remembered):
    known = mask_line._known_fields  # noqa: SLF001
    known.cache_clear()

    assert reported({f"x{n:0{length - 1}}": 1 for n in range(many)}) == []
    assert known.cache_info().currsize == is_remembered


def test_secret_of_four_letters_is_masked():
    assert LineMask(["aBcd", "xyz"], {}).own("abcD xyz", most=99) == "*** xyz"


def test_text_that_a_template_logs_is_masked_as_json():
    mask = LineMask(["hunter2-hunter2"], {})

    assert mask.over('hunter2-hunter2: {"email":"anna@shop.alt"}', most=99) == (
        '***: {"email":"***"}'
    )
    assert [LineMask([], {}, blind=True).over(text, most=9) for text in ("order", "")] == ["…", ""]


@pytest.mark.parametrize(("many", "line"), [(5_000, "by *** at 7"), (5_001, "…")])
def test_line_is_hidden_if_too_many_texts_are_known(many, line):
    assert masked("by person-00042 at 7", *(f"person-{n:05}" for n in range(many))) == line


def test_line_is_one_printable_line_of_limited_length():
    assert masked("a\nb\0c d", most=6) == "a b c "


def test_long_line_is_truncated():
    assert masked("x" * (LOOKED_AT + 1)) == "x" * LOOKED_AT


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (LOOKED_AT, 0, LOOKED_AT + 3),  # exactly as far as the mask looks
        (LOOKED_AT, 1, LOOKED_AT - 5),
        (LOOKED_AT - 4, 100, LOOKED_AT - 5),
        (LOOKED_AT + 1, 0, LOOKED_AT),  # the name is incomplete, so it is cut off
    ],
)
def test_name_at_the_end_of_a_truncated_line_is_not_shown(before, after, kept):
    line = masked("x" * before + "Griselda" + "y" * after, "Griselda")

    assert line == ("x" * before + "***" + "y" * after)[:kept]


@pytest.mark.parametrize(("length", "pieces"), [(1_000, 1), (1_004, 2), (2_004, 3)])
def test_long_line_is_masked_in_pieces_of_similar_length(length, pieces):
    text = "".join(f"{number:04}" for number in range(501))[:length]
    size = length // pieces

    assert masked(text, text) == "***" * pieces
    assert masked(text[:size], text) == "***"
    assert masked(text[: size - 1], text) == text[: size - 1]


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        ({"email": "anna@shop.alt"}, ["anna", "anna@shop.alt", "shop"]),
        ({"phone": 4155550100}, ["4155550100"]),
        ({"phone": 4155550100.0}, ["4155550100"]),
        ({"phone": True, "email": None}, []),
        ({"email": {"home": ["Anna", {"work": "Emma"}]}}, ["Anna", "Emma"]),
        ({"event_name": "purchase", "items": [{"item_name": "Mug"}]}, []),
        ({"title": "Telefon", "answer": "Anna"}, ["Anna"]),
        ({"title": "City", "answer": "Leeds"}, ["Leeds"]),
        ({"title": "Color", "answer": "Blue"}, []),
        ({"access_token": "hunter2b"}, ["hunter", "hunter2b"]),
        ({"ip": "203.0.113.7"}, ["203.0.113.7"]),
        ({"a": [json.dumps({"email": "Anna"})]}, ["Anna"]),
        ({"a": ' ["{'}, []),
        ({"a": ' {"email": "Anna"}'}, ["Anna"]),
        ({"a": {"title": "Color"}, "email": "Anna"}, ["Anna"]),
        ({"quantity": 7, "a": None, "b": [1.5, True], "c": b"anna", "d": ("anna",)}, []),
    ],
)
def test_texts_of_fields_with_personal_data_are_known(event, texts):
    assert reported(event) == texts


@pytest.mark.parametrize(
    ("within", "deepest"),
    [
        (nested, 32),
        (lambda levels: nested(levels, around=lambda value: [value]), 32),
        (lambda levels: nested(levels, json.dumps({"a": "Mug"})), 30),
    ],
    ids=["objects", "lists", "JSON in a text"],
)
def test_all_texts_of_a_very_deep_event_are_known(within, deepest):
    assert reported(within(deepest)) == []
    assert reported(within(deepest + 1)) == ["Mug"]


def test_value_of_a_field_with_personal_data_is_in_no_log_line():
    for name in (*EMAIL_FIELDS, *PHONE_FIELDS, *NAME_FIELDS):
        line = LineMask([], {name: NAME}).over(f"it says {NAME.lower()} here", most=300)
        assert NAME.lower() not in line.lower(), name


@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_value_of_a_row_with_personal_data_is_in_no_log_line(row):
    [said] = (value for key, value in row.items() if "alue" in key or "answer" in key)
    texts = (
        said if isinstance(said, list) else [*said.values()] if isinstance(said, dict) else [said]
    )

    for held in (row, {"form": {"rows": [row]}}):
        assert (
            found_in(LineMask([], held).over(f"it says {texts[0]} here", most=300).encode()) == []
        )
