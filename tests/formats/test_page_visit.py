"""What a page request says about the visitor: cookies, click id, page URL."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.formats.page_visit import (
    Click,
    clicks_of,
    cookie_value,
    cookies_of,
    newest,
    newest_of,
    read_click,
    scrubbed_url,
)

ID = "2-3k9x0abcd1efgh2ijkl3mnop4q"
OTHER = "2-9z8y0abcd1efgh2ijkl3mnop4q"
NOW = 1_795_600_000_000


def x_cookie(**said):
    text = ",".join(f'"{name}":{value}' for name, value in said.items())
    return quote("{" + text + "}", safe="")


def test_first_of_two_cookies_with_the_same_name_is_read():
    found = cookies_of('a=1; b = "2" ;c; d=e=f; a=3;')

    assert found == {"a": "1", "b": "2", "d": "e=f"}


@pytest.mark.parametrize(
    ("cookies", "clicks"),
    [
        ({"_twite": f"1.{NOW - 5}.{ID}"}, [Click(id=ID, at=NOW - 5)]),
        ({"_twite": f"1.{NOW + 5}.{ID}"}, [Click(id=ID)]),
        ({"_twite": f"2.{NOW}.{ID}"}, []),
        ({"_twite": f"1.-5.{ID}"}, []),
        ({"_twite": f"1.{'9' * 16}.{ID}"}, []),
        ({"_twite": "1.5."}, []),
        ({"_twite": f"1.5.{ID}; Secure"}, []),
        ({"_twclid": ID}, [Click(id=ID)]),
        (
            {
                "_twclid": x_cookie(
                    pixelVersion='"2.3.29"', timestamp=NOW, twclid=f'"{ID}"', source=1
                )
            },
            [Click(id=ID, at=NOW)],
        ),
        ({"_twclid": x_cookie(twclid=f'"{ID}"')}, [Click(id=ID)]),
        ({"_twclid": x_cookie(timestamp='"soon"', twclid=f'"{ID}"')}, []),
        ({"_twclid": x_cookie(timestamp="1e400", twclid=f'"{ID}"')}, []),
        ({"_twclid": x_cookie(timestamp="-7", twclid=f'"{ID}"')}, [Click(id=ID)]),
        ({"_twclid": "%7B%22twclid"}, []),
        ({"twclid": ID}, [Click(id=ID)]),
        ({"twclid": "undefined"}, []),
        ({"twclid": "a@b.example"}, []),
        ({}, []),
    ],
)
def test_cookies_of_a_click_are_read(cookies, clicks):
    assert clicks_of(cookies, now=NOW) == clicks


def test_newest_click_is_used_and_one_without_a_time_is_the_oldest():
    old, new, unknown = Click(id=ID, at=1), Click(id=OTHER, at=2), Click(id="x")

    assert newest([unknown, old, new]) == new
    assert newest([unknown, old]) == old
    assert newest([]) is None


@pytest.mark.parametrize("name", ["_twite", "_twclid"])
def test_click_cookie_that_the_gateway_wrote_is_read_back(name):
    click = Click(id=ID, at=NOW)

    assert clicks_of({name: cookie_value(name, click)}, now=NOW) == [click]


def test_cookie_for_stapes_tag_is_only_the_click_id():
    assert cookie_value("twclid", Click(id=ID, at=NOW)) == ID


def test_click_id_is_read_from_a_url():
    assert read_click(f"https://shop.example/?twclid={ID}", 7) == Click(id=ID, at=7)


def test_repr_of_a_click_hides_its_id():
    assert repr(Click(id=ID, at=7)) == "Click(at=7, ***)"


def test_known_click_keeps_its_time():
    kept = [Click(id=ID, at=NOW - 9), Click(id=ID, at=NOW - 5), Click(id=OTHER, at=NOW - 7)]

    assert newest_of([Click(id=ID, at=NOW)], kept) == Click(id=OTHER, at=NOW - 7)
    assert newest_of([Click(id=ID, at=NOW)], kept[:2]) == Click(id=ID, at=NOW - 9)
    assert newest_of([], []) is None


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://shop.example/thanks", "https://shop.example/thanks"),
        ("https://shop.example", "https://shop.example"),
        ("http://shop.example:8080/a/b", "http://shop.example:8080/a/b"),
        ("https://shop.example/a?order=1001", "https://shop.example/a"),
        ("https://shop.example/a#token=abc", "https://shop.example/a"),
        ("https://shop.example/a?twclid=abc#x", "https://shop.example/a"),
        ("https://shop.example?email=bob@example.com", "https://shop.example"),
        ("https://bob:secret@shop.example/a", "https://shop.example/a"),
        ("https://bob@shop.example/a", "https://shop.example/a"),
        (
            "https://shop.example/a?utm_source=x&email=bob%40example.com&utm_medium=cpc",
            "https://shop.example/a?utm_source=x&utm_medium=cpc",
        ),
        ("https://shop.example/a?utm_term=bob%40example.com", "https://shop.example/a"),
        # A plus sign that the page did not escape decodes to a space.
        ("https://shop.example/a?utm_campaign=+442079460016", "https://shop.example/a"),
        ("https://shop.example/a?utm_term=+44-20-7946-0016", "https://shop.example/a"),
        ("https://shop.example/a?utm_content=tel+442079460016", "https://shop.example/a"),
        ("https://shop.example/a?utm_term=+shoes", "https://shop.example/a?utm_term=+shoes"),
        (
            "https://shop.example/a?utm_campaign=Sale+20261127",
            "https://shop.example/a?utm_campaign=Sale+20261127",
        ),
        ("https://shop.example/a?utm_id=1&utm_evil=2", "https://shop.example/a?utm_id=1"),
        ("https://shop.example/a?x=utm_source", "https://shop.example/a"),
        ("https://shop.example/off/bob@example.com/now", "https://shop.example/off/-/now"),
        ("https://shop.example/off/bob%40example.com", "https://shop.example/off/-"),
        ("https://shop.example/@brand/mug", "https://shop.example/@brand/mug"),
        ("HTTPS://Shop.Example/A", "https://shop.example/A"),
        ("  https://shop.example/a\n", "https://shop.example/a"),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
        ("https://münchen.example/straße", "https://münchen.example/straße"),
    ],
)
def test_page_url_keeps_its_path_and_campaign(url, kept):
    assert scrubbed_url(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        "", "shop.example/a", "//shop.example/a", "javascript:alert(1)", "data:text/html,x",
        "ftp://shop.example/", "file:///etc/passwd", "https://", "https:///a", "https://[bad/a",
        "https://shop.example:port/", "https://shop.example:99999/", "about:blank",
        "android-app://com.example",
    ],
)  # fmt: skip
def test_invalid_page_url_is_dropped(url):
    assert scrubbed_url(url) is None


def test_page_url_with_too_many_parameters_loses_them_without_an_error():
    assert scrubbed_url("https://shop.example/?" + "utm_id=1&" * 1_001) == "https://shop.example/"


@given(st.text(max_size=80))
def test_any_text_is_a_page_url_or_dropped(text):
    kept = scrubbed_url(text)

    assert kept is None or kept.startswith(("http://", "https://"))


PART = st.text("abcXYZ019-._~%@:!$&'()*+,;=/?#[] \\", max_size=12)


@given(st.sampled_from(["http", "https"]), PART, PART, PART, PART)
def test_scrubbing_a_page_url_twice_changes_nothing_more(scheme, host, path, query, fragment):
    once = scrubbed_url(f"{scheme}://canary:secret@{host}/{path}?token={query}#{fragment}canary")

    if once is not None:
        assert "canary" not in once
        assert "secret" not in once
        assert scrubbed_url(once) == once
