import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.fault import Fault
from twite.domain.normalize import browser_id, click_id, click_id_of_url

CLICK = "23opevjt88psuo13lu8d020qkn"
COOKIE = json.dumps(
    {"pixelVersion": "2.3.29", "timestamp": 1795600000000, "twclid": CLICK, "source": 1}
)


def read(text):
    return click_id(text, path="twclid")


@pytest.mark.parametrize(
    "text",
    [
        CLICK,
        f"  {CLICK}\n",
        f"1.1795600000000.{CLICK}",
        COOKIE,
        quote(COOKIE),
        quote(COOKIE, safe="{}"),
        f"https://shop.example/landing?utm_source=x&twclid={CLICK}",
        f"https://shop.example/?twclid={CLICK}&email=bob%40example.com#top",
        f"twclid={CLICK}",
        f"?twclid={CLICK}",
        f"a=b&twclid={CLICK}",
        quote(f"https://shop.example/?twclid={CLICK}", safe=""),
    ],
)
def test_click_id_is_found_as_text_in_a_url_and_in_a_cookie(text):
    assert read(text) == CLICK


def test_click_id_is_neither_hashed_nor_changed():
    assert read("2-3k9x0ABCD_1efgh2ijkl3mnop4q") == "2-3k9x0ABCD_1efgh2ijkl3mnop4q"


def test_url_encoded_parameter_cannot_inject_a_click_id():
    url = f"https://shop.example/?next=%26twclid%3Devil&twclid={CLICK}"

    assert read(url) == CLICK


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "null", "undefined", "(not set)", "None", "0", "-", "n/a",
        "a b", "a\x00b", "clé", "bob@example.com", "x" * 513, "x" * 4_096,
        "{}", '{"twclid":""}', '{"twclid":"null"}', '{"twclid":5}', '{"twclid":"a b"}', "{",
        '{"twclid":' + "[" * 5_000, "%7B%7D", "%", "%zz", "twclid=", "?twclid=undefined",
        "https://shop.example/?gclid=abc", "https://[?twclid=a",
        "?" + "a=1&" * 2_000 + f"twclid={CLICK}",
    ],
)  # fmt: skip
def test_invalid_click_id_has_an_error_code(text):
    assert read(text).code == "twclid_unusable"


def test_message_about_a_click_id_does_not_contain_it():
    assert "bob" not in f"{read('bob@example.com')}"


def test_first_usable_click_id_of_a_url_is_read():
    assert click_id_of_url(f"https://shop.example/?twclid=&twclid=null&twclid={CLICK}") == CLICK


@pytest.mark.parametrize("url", ["", "https://shop.example/", "https://shop.example/?twclid=a%20b"])
def test_url_without_a_click_id_has_none(url):
    assert click_id_of_url(url) is None


@pytest.mark.parametrize(("before", "found"), [(999, CLICK), (1_000, None)])
def test_at_most_1000_parameters_of_a_url_are_read(before, found):
    url = f"https://shop.example/?{'a=1&' * before}twclid={CLICK}"

    assert click_id_of_url(url) == found


def test_browser_id_is_trimmed_and_otherwise_unchanged():
    assert browser_id(" tw.1764071000000.1234\n", path="twpid") == "tw.1764071000000.1234"


@pytest.mark.parametrize("text", ["", "1764071000000.1234", "tw.", "tw.a b", f"tw.{'1' * 129}"])
def test_invalid_browser_id_has_an_error_code(text):
    assert browser_id(text, path="twpid").code == "twpid_unusable"


@given(st.text(max_size=600))
def test_any_text_is_a_click_id_or_has_an_error_code(text):
    found = read(text)

    assert isinstance(found, Fault) or found.replace("-", "").replace("_", "").isascii()
