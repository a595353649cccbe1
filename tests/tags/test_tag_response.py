"""Cookies and headers that tags add to a response stay on the gateway's site and within limits."""

import pytest

from twite.tags.template.effects import Header, SetCookie
from twite.tags.template.response import ClientResponse
from twite.tags.template.tag_response import (
    LONGEST_LIFE,
    MOST_COOKIES,
    ResponseSite,
    TagResponse,
    beneath,
    joined,
)

SITE = ResponseSite(
    host="t.shop.example",
    site="shop.example",
    reserved=frozenset({"twclid"}),
    now=1_700_000_000_000,
)


def added(*effects, site=SITE):
    """Return a tag's additions, and what was left out."""
    said = []
    response = TagResponse(
        tag="tag:ads",
        cookies=tuple(effect for effect in effects if isinstance(effect, SetCookie)),
        headers=tuple(effect for effect in effects if isinstance(effect, Header)),
    )
    whole = joined([response], site=site, log_message=lambda tag, text: said.append((tag, text)))
    return whole, said


@pytest.mark.parametrize(
    ("domain", "written"),
    [
        ("auto", "; Domain=shop.example"),
        (None, ""),
        ("shop.example", "; Domain=shop.example"),
        (".Shop.example", "; Domain=shop.example"),
        ("t.shop.example", "; Domain=t.shop.example"),
    ],
)
def test_tag_cookie_is_set_for_the_site_or_a_subdomain(domain, written):
    whole, said = added(SetCookie(name="a", value="b", domain=domain, max_age=60))

    assert whole.cookies == (f"a=b{written}; Path=/; Max-Age=60; Secure; SameSite=Lax",)
    assert said == []


@pytest.mark.parametrize("domain", ["example", "other.example", "x.shop.example", "hop.example"])
def test_tag_cookie_for_another_domain_is_dropped(domain):
    whole, [(tag, text)] = added(SetCookie(name="a", value="b", domain=domain))

    assert (whole.cookies, tag) == ((), "tag:ads")
    assert text == "the cookie a is for a domain outside the gateway's site"


def test_tag_cookie_without_a_registrable_domain_is_for_the_host_only():
    site = ResponseSite(host="localhost")

    whole, said = added(
        SetCookie(name="a", value="1", domain="auto"),
        SetCookie(name="b", value="1", domain="localhost"),
        site=site,
    )

    assert [cookie.split("; ")[1] for cookie in whole.cookies] == ["Path=/", "Path=/"]
    assert said == []


def test_tag_cookie_lasts_at_most_400_days_and_is_never_cross_site():
    year = SetCookie(name="a", value="b", max_age=10 * LONGEST_LIFE, same_site="None")
    dated = SetCookie(name="c", value="d", expires="Wed, 15 Nov 2023 22:13:20 GMT")
    gone = SetCookie(name="e", value="", expires="Thu, 01 Jan 1970 00:00:00 GMT")
    strict = SetCookie(name="f", value="", same_site="strict", http_only=True)

    whole, _ = added(year, dated, gone, strict)

    assert whole.cookies == (
        f"a=b; Path=/; Max-Age={LONGEST_LIFE}; Secure; SameSite=Lax",
        "c=d; Path=/; Max-Age=86400; Secure; SameSite=Lax",
        "e=; Path=/; Max-Age=0; Secure; SameSite=Lax",
        "f=; Path=/; Secure; HttpOnly; SameSite=Strict",
    )


def test_tag_cannot_set_the_gateways_own_cookies():
    names = ("_twite", "twite", "__Host-twite", "twite-visitor", "twclid")

    whole, said = added(*(SetCookie(name=name, value="x") for name in names))

    assert whole.cookies == ()
    assert len(said) == len(names) - 1  # Twite stores the click itself, without a note


def test_tag_cookies_are_limited_in_size_and_number():
    many = [SetCookie(name=f"c{at}", value="x") for at in range(MOST_COOKIES + 2)]

    whole, said = added(SetCookie(name="big", value="x" * 5_000), *many)

    assert len(whole.cookies) == MOST_COOKIES
    assert [text for _, text in said] == [
        "the cookie big is larger than 4096 bytes",
        *["more than 20 cookies in one response"] * 2,
    ]


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "location", "content-type", "access-control-allow-origin", "content-length"],
)
def test_tag_cannot_set_headers_of_the_response_itself(name):
    whole, said = added(Header(name=name, value="x"), Header(name="x-ad", value="y"))

    assert whole.headers == (("x-ad", "y"),)
    assert len(said) == 1


def test_tag_cookie_is_not_set_without_consent():
    site = ResponseSite(host="t.shop.example", site="shop.example", keeps=False)

    whole, _ = added(SetCookie(name="a", value="b"), Header(name="x-ad", value="y"), site=site)

    assert (whole.cookies, whole.headers) == ((), (("x-ad", "y"),))


def test_headers_and_cookies_of_the_client_template_override_those_of_tags():
    client = ClientResponse(headers=(("x-ad", "own"),), cookies=("a=own; Path=/; Secure",))
    tags = ClientResponse(
        headers=(("x-ad", "tag"), ("x-other", "tag")),
        cookies=("a=tag; Path=/", "a=tag; Domain=shop.example; Path=/"),
    )

    whole = beneath(client, tags)

    assert whole.headers == (("x-ad", "own"), ("x-other", "tag"))
    assert whole.cookies == ("a=own; Path=/; Secure", "a=tag; Domain=shop.example; Path=/")
