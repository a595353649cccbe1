import pytest

from twite.domain.destination import ClickCookie
from twite.domain.times import DAY
from twite.formats.page_visit import Click
from twite.http.addresses import host_of
from twite.http.cookies import cookie_domain, registrable_domain, set_cookies

NOW = 1_795_600_000_000
ID = "2-3k9x0abcd1efgh2ijkl3mnop4q"


def cookies_for(click, wanted=None, domain="shop.example"):
    made = set_cookies(click, cookie=wanted or ClickCookie(), domain=domain, now=NOW)
    return [value.decode() for _, value in made]


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("t.shop.example", "shop.example"),
        ("shop.example", "shop.example"),
        ("a.b.shop.co.uk", "shop.co.uk"),
        ("co.uk", None),
        ("shop.github.io", "shop.github.io"),
        ("github.io", None),
        ("localhost", None),
        ("127.0.0.1", None),
        ("2001:db8::1", None),
    ],
)
def test_domain_of_a_cookie_is_never_a_public_suffix(host, domain):
    assert registrable_domain(host) == domain


@pytest.mark.parametrize(
    ("hosts", "origin", "found"),
    [
        (("t.shop.example", None), "https://shop.example", (True, "shop.example")),
        (("t.shop.example", None), "https://www.shop.example", (True, "shop.example")),
        # A proxy that does not pass on the host name.
        (("127.0.0.1", "t.shop.example"), "https://shop.example", (True, "shop.example")),
        (("t.shop.example", None), "https://other.example", (False, None)),
        (("evil.example", None), "https://shop.example", (False, None)),
        # Sites under the same public suffix are unrelated.
        (("a.github.io", None), "https://b.github.io", (False, None)),
        (("127.0.0.1", None), "http://127.0.0.1:8000", (True, None)),
        (("localhost", None), "http://localhost:8000", (True, None)),
        (("localhost", None), "http://127.0.0.1:8000", (False, None)),
        ((None, None), "https://shop.example", (False, None)),
    ],
)
def test_cookie_is_set_only_for_pages_of_the_same_site(hosts, origin, found):
    assert cookie_domain(hosts, origin) == found


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("T.Shop.Example:8080", "t.shop.example"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("https://t.shop.example/x", "t.shop.example"),
        ("", None),
        ("[", None),
        ("a" * 300, None),
        ("sh\u00f6p.example", None),
    ],
)
def test_host_name_is_read_from_a_url(address, host):
    assert host_of(address) == host


def test_click_cookie_expires_90_days_after_the_click():
    rest = "Path=/; Max-Age=86400; Domain=shop.example; Secure; SameSite=Lax"

    assert cookies_for(Click(id=ID, at=NOW - 89 * DAY)) == [
        f"_twite=1.{NOW - 89 * DAY}.{ID}; {rest}"
    ]
    assert cookies_for(Click(id=ID, at=NOW - 90 * DAY)) == []


def test_click_cookie_without_a_click_time_expires_in_90_days():
    assert cookies_for(Click(id=ID)) == cookies_for(Click(id=ID, at=NOW))


def test_cookie_without_a_domain_is_for_its_host_only():
    assert "Domain" not in cookies_for(Click(id=ID, at=NOW), domain=None)[0]


def test_cookie_for_xs_script_is_not_http_only():
    wanted = ClickCookie(names=("_twclid", "twclid"), http_only=True)

    of_x, of_stape = cookies_for(Click(id=ID, at=NOW), wanted)

    assert of_x.startswith("_twclid=%7B%22pixelVersion%22%3A%22")
    assert not of_x.endswith("HttpOnly")
    assert of_stape.startswith(f"twclid={ID}; ")
    assert of_stape.endswith("; HttpOnly")
