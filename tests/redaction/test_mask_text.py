"""What a log or a page shows of a text."""

import pytest

from twite.redaction.mask_text import (
    masked_address,
    masked_path,
    masked_query,
    masked_text,
    network,
    without_echoes,
)

TOKEN = "abcdefghij0123456789x"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TEXTS = {
    "": "",
    "order 7": "order 7",
    # by the name before a value
    f"event_id={TOKEN}, {TOKEN}": f"event_id={TOKEN}, …",
    f"event_id: {TOKEN}": f"event_id: {TOKEN}",
    f'{{"event_id":"{TOKEN}","x":"{TOKEN}"}}': f'{{"event_id":"{TOKEN}","x":"…"}}',
    "INVALID_PARAMETER: x": "INVALID_PARAMETER: x",
    "EMAIL: hello": "EMAIL: hello",
    "email: hello world": "email: …",
    "email: ": "email: ",
    "ip=203.0.113.7": "ip=203.0.113.…",
    "ip_address: 203.0.113.7, x": "ip_address: 203.0.113.…, x",
    "remote_ip=2001:db8:1:2::7; y": "remote_ip=2001:db8:1:…; y",
    "token: abc, def; x\nnext": "token: …\nnext",
    f"token: {'a b ' * 100}\nnext": "token: …\nnext",
    "cookie: a=b; c=d\nnext": "cookie: …\nnext",
    "twclid=abc, x": "twclid=…, x",
    '{"token":"abc, def","n":1}': '{"token":"…","n":1}',
    "{'token':'abc, def','n':1}": "{'token':'…','n':1}",
    'user_data: {"a": 1} and more': "user_data: …",
    "customer: [1] x": "customer: …",
    "customer: 1, x": "customer: …, x",
    # by the form of a word
    "abcdefghijklmnopqrstu": "abcdefghijklmnopqrstu",
    TOKEN: "…",
    TOKEN[:19]: "***",  # with a long number
    "abcdefghijklmnopqr7": "abcdefghijklmnopqr7",
    "abcdefghijklmnopqrs7": "…",
    "x" * 256 + "7": "x" * 256 + "7",
    "x" * 255 + "7": "…",
    HASH: "…",
    "a%40b.alt": "***",
    "a@b": "***",
    "a&#64;b.alt": "***",
    "x%2525": "x%2525",
    "bearer abcdefgh": "bearer abcdefgh",
    "bearer abcdefg1": "bearer ***",
    "bearer abcdefghijklmnopqrs": "bearer abcdefghijklmnopqrs",
    "bearer abcdefghijklmnopqrst": "bearer ***",
    # by the form of a number
    "203.0.113.7": "203.0.113.…",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:…",
    "12:30:45": "12:30:45",
    "2026-11-24T10:00:00.123Z x": "2026-11-24T10:00:00.123Z x",
    "2026-11-24": "2026-11-24",
    "+4420 7946": "***",
    "020.7946.0958": "***",
    "020 7946 0958": "***",
    "4155550100": "***",
    "12345678": "12345678",
    "123456789": "***",
    "1764063980": "1764063980",
    "17640639801": "***",
    "1764063980123": "1764063980123",
    "1364063980123": "***",
    "1764063980123456": "1764063980123456",
    "2764063980": "***",
    "12345.67890": "12345.67890",
    "118732.176406": "***",
    "11873.176406": "11873.176406",
    "118732.17640": "118732.17640",
    # addresses
    "https://u:p@localhost/x": "https://***@localhost/x",
    "https://shop.alt/a#b": "https://shop.alt/a#…",
    f"https://{TOKEN}.shop.alt/": "https://….shop.alt/",
    f"http://s.alt/?page=2&token=x&page={TOKEN}&{TOKEN}=1&flag": (
        "http://s.alt/?page=2&token=…&page=…&…=…&flag"
    ),
}


@pytest.mark.parametrize(("text", "shown"), TEXTS.items())
def test_text_is_masked_by_field_names_and_forms_of_words(text, shown):
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (TOKEN, TOKEN), ("4155550100", "4155550100"), ("+442079460958", "***"), (HASH, "…"),
        ("020 7946 0958", "***"), (f"token={TOKEN}", "token=…"),
        (f"{HASH[:20]}%61{HASH[:20]}", "…"),
    ],
)  # fmt: skip
def test_ids_in_a_text_are_shown(text, shown):
    assert masked_text(text, plain=True) == shown


def test_plain_id_is_shown_up_to_256_characters():
    words = " ".join([TOKEN] * 20)

    shown = masked_text(f"event_id: {words}")

    assert shown.count(TOKEN) == 256 // (len(TOKEN) + 1)
    assert shown.count("…") == 20 - shown.count(TOKEN)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("203.0.113.7", "203.0.113.…"), (" 203.0.113.7 ", "203.0.113.…"),
        ("2001:db8:1:2::7", "2001:db8:1:…"), ("x", "…"), ("a:b", "a:b:…"),
    ],
)  # fmt: skip
def test_network_of_an_ip_address_is_shown(text, shown):
    assert network(text) == shown


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("page=2&x", "page=2&x"), ("a.page=2", "a.page=2"), ("page=%32", "page=%32"),
        ("page=", "page="), ("", ""), ("token=1", "token=…"), ("page=4155550100", "page=…"),
        ("utm_source=" + "s" * 40, "utm_source=" + "s" * 40),
        ("utm_source=" + "s" * 41, "utm_source=…"),
        ("x" * 40 + "=1", "x" * 40 + "=…"), ("x" * 41 + "=1", "…=…"), ("a%40b.alt=1", "…=…"),
        ("a%40b.alt", "…"),
    ],
)  # fmt: skip
def test_only_harmless_url_parameters_are_shown(query, shown):
    assert masked_query(query) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a/b", "/a/b"), ("/a12345/123456", "/a12345/123456"), ("/a123456", "/…"),
        ("/" + "y" * 40, "/" + "y" * 40), ("/" + "y" * 41, "/…"), ("/a%40b.alt", "/…"),
        ("/a%2540b.alt/x", "/…/x"),
    ],
)  # fmt: skip
def test_unusual_steps_of_a_url_path_are_hidden(path, shown):
    assert masked_path(path) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://s.alt/a?page=2#f", "https://s.alt/a?page=2#…"), ("https://s.alt", "https://s.alt"),
        ("https://u@s.alt/?", "https://***@s.alt/?"), ("//s.alt/a", "//s.alt/a"),
    ],
)  # fmt: skip
def test_masked_url_keeps_its_parts(address, shown):
    assert masked_address(address) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a (b (c) d) e", "a … e"), ('say "x" and "y" z', "say … z"), (f"{HASH} x", "… x"),
        ("a@b c", "… c"), ("x" * 201, "x" * 200), ("a\nb", "a?b"),
    ],
)  # fmt: skip
def test_values_in_messages_of_x_are_hidden(text, shown):
    assert without_echoes(text) == shown
