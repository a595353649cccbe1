import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.formats.page_visit import scrubbed_url


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
def test_an_address_keeps_its_page_and_its_campaign(url, kept):
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
def test_what_is_no_page_address_is_left_out(url):
    assert scrubbed_url(url) is None


def test_a_thousand_and_one_parameters_are_no_error():
    assert scrubbed_url("https://shop.example/?" + "utm_id=1&" * 1_001) == "https://shop.example/"


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_nothing(text):
    kept = scrubbed_url(text)

    assert kept is None or kept.startswith(("http://", "https://"))


PART = st.text("abcXYZ019-._~%@:!$&'()*+,;=/?#[] \\", max_size=12)


@given(st.sampled_from(["http", "https"]), PART, PART, PART, PART)
def test_what_is_scrubbed_gives_nothing_more_away(scheme, host, path, query, fragment):
    once = scrubbed_url(f"{scheme}://canary:secret@{host}/{path}?token={query}#{fragment}canary")

    if once is not None:
        assert "canary" not in once
        assert "secret" not in once
        assert scrubbed_url(once) == once
