"""Masking in JSON: pairs of headers, long lists and mappings."""

import pytest

from twite.redaction.mask_text import HIDDEN
from twite.redaction.mask_tree import LONGEST_TEXT, MOST_LOOKED_AT, masked_tree, masked_words
from twite.redaction.shapes import MASK

COST = 4  # of each value


@pytest.mark.parametrize("field", ["first_name", "email", "phone", "customer"])
def test_list_of_two_values_with_personal_data_is_not_a_header(field):
    assert masked_tree(["Grizelda", "Hephzibah"], field) == [MASK, MASK]


def test_only_a_pair_of_texts_is_a_header():
    headers = [["accept", "text/html"], ["accept", 1], [1, "accept"], ["accept", "accept", "x"]]

    assert masked_tree(headers, "headers") == [
        ["accept", "text/html"],
        [MASK, HIDDEN],
        [HIDDEN, MASK],
        [MASK, MASK, MASK],
    ]


def test_list_is_truncated_at_the_limit():
    shown = masked_tree([1] * MOST_LOOKED_AT)

    assert len(shown) == MOST_LOOKED_AT // COST - 1
    assert shown[:-1] == [1] * (len(shown) - 1)
    assert shown[-1] == HIDDEN


def test_mapping_is_truncated_at_the_limit():
    shown = masked_tree({f"f{n}": True for n in range(MOST_LOOKED_AT // COST)})

    assert len(shown) < MOST_LOOKED_AT // COST
    assert list(shown)[-1] == HIDDEN


def test_list_of_long_texts_is_truncated():
    shown = masked_tree(["word " * 4_000] * 100)

    assert len(shown) < 10


def test_ip_addresses_show_their_networks():
    assert masked_tree("203.0.113.77, 198.51.100.8", "ip") == "203.0.113.…, 198.51.100.…"


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 … (31 characters)"),
        (f"{'A' * 24}bc def", f"{'A' * 24} … (30 characters)"),
    ],
)
def test_user_agent_shows_its_first_word_and_its_length(agent, shown):
    assert masked_tree(agent, "user_agent") == shown


@pytest.mark.parametrize(("levels", "shown"), [(24, 1), (25, HIDDEN)])
def test_values_below_24_levels_are_hidden(levels, shown):
    tree = 1
    for _ in range(levels):
        tree = [tree]

    found = masked_tree(tree)
    for _ in range(levels):
        [found] = found

    assert found == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"first_name": "Grizelda"}', '{"first_name":"***"}'),
        ('[1, {"first_name": "Grizelda"}]', '[1,{"first_name":"***"}]'),
        ('x{"first_name": "Grizelda"}', 'x{"first_name":"***"}'),
        ('400: [{"first_name": "Grizelda"}]', '400: [{"first_name":"***"}]'),
        ('first_name: ["Grizelda"]', 'first_name: ["***"]'),
        ('"first_name" : ["Grizelda"]', '"first_name" : ["***"]'),
        (f'{"words " * 50}first_name = ["Grizelda"]', f'{"words " * 50}first_name = ["***"]'),
        ('note: ["Grizelda"]', 'note: ["Grizelda"]'),
        ("order [1] of 2 {", "order [1] of 2 {"),
        ("order 7", "order 7"),
    ],
)
def test_json_after_other_words_is_masked_by_its_names(text, shown):
    assert masked_words(text) == shown


@pytest.mark.parametrize(("levels", "shown"), [(23, "1"), (24, f'"{HIDDEN}"')])
@pytest.mark.parametrize("mask", [masked_words, masked_tree])
def test_json_in_a_text_is_one_level_deeper(mask, levels, shown):
    text = f"{'[' * levels}1{']' * levels}"

    assert mask(text) == f"{'[' * levels}{shown}{']' * levels}"


@pytest.mark.parametrize(("levels", "shown"), [(24, 1), (25, HIDDEN)])
def test_mapping_counts_as_a_level_of_nesting(levels, shown):
    tree = 1
    for _ in range(levels):
        tree = {"a": tree}

    found = masked_tree(tree)
    for _ in range(levels):
        found = found["a"]

    assert found == shown


def test_last_value_of_a_list_within_the_limit_is_shown():
    *shown, last = masked_tree(["abc", *[1] * MOST_LOOKED_AT])

    assert shown == ["abc", *[1] * (MOST_LOOKED_AT // COST - COST + 1)]
    assert last == HIDDEN


@pytest.mark.parametrize(("first", "many"), [("four", 13_107), ("odd", 13_108)])
def test_last_value_of_a_mapping_within_the_limit_is_shown(first, many):
    named = {f"f{n:05}": True for n in range(MOST_LOOKED_AT)}

    *shown, last = masked_tree({first: True} | named).items()

    assert [name for name, _ in shown] == [first, *list(named)[: many - 1]]
    assert [value for _, value in shown] == [True] * (many - 1) + [HIDDEN]
    assert last == (HIDDEN, HIDDEN)


def test_booleans_and_null_in_fields_of_personal_data_are_shown():
    assert masked_tree([True, None], "email") == [True, None]


def test_keys_that_are_personal_data_are_masked():
    assert masked_tree({"shopper.one@mail.example": True, "note": True}) == {
        MASK: True,
        "note": True,
    }


def test_documented_names_are_shown():
    assert masked_tree({"x-ga-mp2-user_properties": True}) == {"x-ga-mp2-user_properties": True}


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (
            {"name": "Telefon", "value": "Grizelda", "color": "red"},
            {"name": "Telefon", "value": MASK, "color": "red"},
        ),
        (
            {"title": "Telefon", "answer": {"a": ["Grizelda"]}, "note": "plain"},
            {"title": "Telefon", "answer": {"a": [MASK]}, "note": "plain"},
        ),
        ({"name": "Color", "value": "red"}, {"name": "Color", "value": "red"}),
    ],
)
def test_value_of_a_name_value_row_is_masked_by_its_name(row, shown):
    assert masked_tree(row) == shown


@pytest.mark.parametrize(
    ("value", "name", "shown"),
    [
        ("ab" * 32, "note", "abababab…"),
        ("ab" * 32, "email", "abababab…"),
        ("Grizelda", "email", MASK),
        ("", "email", ""),
        ("Grizelda said so", "body", "… (16 characters)"),
        ('{"first_name":"Grizelda"}', "body", '{"first_name":"***"}'),
        ("color=red&who=Grizelda", "body", "color=red&who=…"),
        ("color=red&who=Grizelda", "note", "color=red&who=…"),
        ("color: red", "note", "color: red"),
        ("abcdefgh" * 2, "twclid", HIDDEN),
        (f"{'abcdefgh' * 2}i", "twclid", "abcdefgh…"),
        ("", "twclid", ""),
        ("1.2", "client_id", HIDDEN),
        ("", "client_id", ""),
        ("a=1; b=2;", "cookie", "a=…; b=…"),
        ("nothing", "cookie", MASK),
        (4479460958, "phone", HIDDEN),
        (4155550100, "note", HIDDEN),
        (5, "customer", HIDDEN),
        (5, "headers", HIDDEN),
        (3.5, "note", 3.5),
        (["a", ["b"]], "query", ["a", ["b"]]),
    ],
)
def test_value_is_masked_by_its_name_or_its_form(value, name, shown):
    assert masked_tree(value, name) == shown


def test_pairs_of_headers_are_masked_by_their_names():
    headers = [["cookie", "a=1"], ["x-api-key", "Grizelda"], ["accept-language", "de"]]

    assert masked_tree(headers, "headers") == [
        ["cookie", "a=…"],
        ["x-api-key", MASK],
        ["accept-language", "de"],
    ]


def test_mapping_of_headers_is_masked_by_its_names():
    headers = {"accept": "text/html", "x-api-thing": "Grizelda", "cookie": "a=1"}

    assert masked_tree(headers, "headers") == headers | {"x-api-thing": MASK, "cookie": MASK}


def test_personal_data_is_masked_and_click_ids_ip_addresses_and_agents_are_shortened():
    person = {
        "twclid": "abcdefghabcdefghi",
        "ip": "203.0.113.77",
        "user_agent": "Mozilla/5.0 (X)",
        "access_token": "abc",
        "note": "Grizelda",
        "labels": {"currency": ["EUR"]},
    }

    assert masked_tree(person, "customer") == {
        "twclid": "abcdefgh…",
        "ip": "203.0.113.…",
        "user_agent": "Mozilla/5.0 … (15 characters)",
        "access_token": MASK,
        "note": MASK,
        "labels": {"currency": [MASK]},
    }


def test_mapping_about_people_is_masked_but_not_a_text_of_that_name():
    assert masked_tree({"customers": {"note": "x"}, "note": "y"}) == {
        "customers": {"note": MASK},
        "note": "y",
    }


def test_fields_in_an_object_keep_the_meaning_of_its_name():
    assert masked_tree({"twclid": {"note": "abcdefghabcdefghi"}}) == {
        "twclid": {"note": "abcdefgh…"}
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("w" * LONGEST_TEXT, "w" * LONGEST_TEXT),
        ("w" * (LONGEST_TEXT + 1), f"… ({LONGEST_TEXT + 1} characters)"),
        ("word " * 4_000, f"{'word ' * 3_264}… (20000 characters)"),
    ],
)
def test_long_text_is_truncated_between_words(text, shown):
    assert masked_tree(text) == shown
