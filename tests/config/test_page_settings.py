"""Settings of a source for web pages."""

from decimal import Decimal

import pytest

from twite.domain.destination import ClickCookie
from written import GOOD, complaint, read


def with_source(text):
    return GOOD + text


def test_page_settings_of_a_source_have_defaults(tmp_path):
    (source,) = read(tmp_path).sources()

    assert (source.cookie, source.browser_value_limit, source.browser_rate, source.x_pixel) == (
        ClickCookie(names=("_twite",), days=90, http_only=False),
        None,
        None,
        "use",
    )


def test_all_page_settings_of_a_source_are_read(tmp_path):
    text = with_source(
        'x_pixel = "load"\nbrowser_value_limit = "499.9"\nbrowser_rate = 5000\n'
        'cookie = { names = ["_twite", "_twclid"], days = 30, http_only = true }\n'
    )

    (source,) = read(tmp_path, text).sources()

    assert (source.cookie, source.browser_value_limit, source.browser_rate, source.x_pixel) == (
        ClickCookie(names=("_twite", "_twclid"), days=30, http_only=True),
        Decimal("499.90"),
        5_000,
        "load",
    )


def test_rate_per_address_is_a_server_setting(tmp_path):
    assert read(tmp_path).server.browser_rate == 600
    assert read(tmp_path, environ={"TWITE_SERVER__BROWSER_RATE": "60"}).server.browser_rate == 60


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ('x_pixel = "maybe"', "source[0].x_pixel", "use"),
        ('browser_value_limit = "1,000"', "source[0].browser_value_limit", "499.90"),
        ("browser_value_limit = 5", "source[0].browser_value_limit", "a string"),
        ("browser_rate = 0", "source[0].browser_rate", "from 1"),
        ('cookie = { names = ["_fbc"] }', "source[0].cookie.names[0]", "_twite"),
        ('cookie = { names = ["_twite", "_twite"] }', "source[0].cookie.names[1]", "already"),
        ("cookie = { days = 401 }", "source[0].cookie.days", "400"),
        ('cookie = { http_only = "yes" }', "source[0].cookie.http_only", "true or false"),
    ],
)
def test_wrong_page_setting_is_explained_with_its_place(tmp_path, text, place, word):
    said = complaint(tmp_path, with_source(text))

    assert said.startswith(place)
    assert word in said
