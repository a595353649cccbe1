"""Masking in JSON: pairs of headers, long lists and mappings."""

import pytest

from twite.redaction.mask_text import HIDDEN
from twite.redaction.mask_tree import MOST_LOOKED_AT, masked_tree, masked_words
from twite.redaction.shapes import MASK

COST = 4  # of each value


@pytest.mark.parametrize("field", ["first_name", "email", "phone", "customer"])
def test_two_persons_in_a_list_are_no_header(field):
    assert masked_tree(["Grizelda", "Hephzibah"], field) == [MASK, MASK]


def test_only_a_pair_of_texts_is_a_header():
    headers = [["accept", "text/html"], ["accept", 1], ["accept", "text/html", "Grizelda"]]

    assert masked_tree(headers, "headers") == [
        ["accept", "text/html"],
        [MASK, HIDDEN],
        [MASK, MASK, MASK],
    ]


def test_list_is_cut_where_the_limit_is_reached():
    shown = masked_tree([1] * MOST_LOOKED_AT)

    assert len(shown) == MOST_LOOKED_AT // COST - 1
    assert shown[:-1] == [1] * (len(shown) - 1)
    assert shown[-1] == HIDDEN


def test_mapping_is_cut_where_the_limit_is_reached():
    shown = masked_tree({f"f{n}": True for n in range(MOST_LOOKED_AT // COST)})

    assert len(shown) < MOST_LOOKED_AT // COST
    assert list(shown)[-1] == HIDDEN


def test_list_is_cut_for_its_long_texts():
    shown = masked_tree(["word " * 4_000] * 100)

    assert len(shown) < 10


def test_addresses_show_their_networks():
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
    ],
)
def test_json_behind_words_is_masked_by_its_names(text, shown):
    assert masked_words(text) == shown
