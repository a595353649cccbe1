"""The response of a client template, built from its effects."""

import pytest

from twite.tags.template.effects import (
    AnyEffect,
    Body,
    Header,
    LogEffect,
    PixelBody,
    SetCookie,
    Status,
)
from twite.tags.template.response import GIF, ClientResponse, InvalidResponse, added, in_bytes


def built(*effects: AnyEffect, site: str | None = "shop.example") -> ClientResponse:
    response = ClientResponse()
    for effect in effects:
        response = added(response, effect, site=site)
    return response


def cookie(**options: object) -> SetCookie:
    return SetCookie(**({"name": "a", "value": "b"} | options))  # type: ignore[arg-type]  # fields of SetCookie by name


def test_default_response_is_200_and_empty():
    assert built(LogEffect(text="x")) == ClientResponse(
        status=200, headers=(), cookies=(), body=b""
    )


def test_last_status_header_and_body_are_sent():
    response = built(
        Status(code=500),
        Header(name="x-a", value="1"),
        Header(name="x-b", value="2"),
        Body(text="one"),
        Status(code=404),
        Header(name="x-a", value="3"),
        Header(name="x-b"),
        Body(text="two"),
    )

    assert response == ClientResponse(status=404, headers=(("x-a", "3"),), body=b"two")


def test_pixel_response_is_a_gif_that_is_not_cached():
    response = built(Status(code=404), Header(name="cache-control", value="max-age=1"), PixelBody())

    assert (response.status, response.body) == (200, GIF)
    assert dict(response.headers) == {
        "content-type": "image/gif",
        "cache-control": "no-cache, no-store, must-revalidate",
        "expires": "Mon, 01 Jan 1990 00:00:00 GMT",
        "pragma": "no-cache",
    }


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({}, "a=b; Path=/"),
        ({"path": "/x", "secure": True, "http_only": True}, "a=b; Path=/x; Secure; HttpOnly"),
        ({"same_site": "lax"}, "a=b; Path=/; SameSite=Lax"),
        ({"domain": "auto"}, "a=b; Domain=shop.example; Path=/"),
        ({"domain": "other.example"}, "a=b; Domain=other.example; Path=/"),
        ({"max_age": 5, "expires": "Thu, 01 Jan 2026 00:00:00 GMT"}, "a=b; Path=/; Max-Age=5"),
        (
            {"expires": "Thu, 01 Jan 2026 00:00:00 GMT"},
            "a=b; Path=/; Expires=Thu, 01 Jan 2026 00:00:00 GMT",
        ),
    ],
)
def test_cookie_is_written_with_its_options(options, written):
    assert built(cookie(**options)).cookies == (written,)


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({"domain": "auto"}, "a=b; Path=/"),
        ({"domain": "auto", "fallback_domain": "f.example"}, "a=b; Domain=f.example; Path=/"),
    ],
)
def test_domain_auto_without_a_site_is_the_fallback_or_the_host(options, written):
    assert built(cookie(**options), site=None).cookies == (written,)


def test_later_cookie_replaces_one_of_the_same_name():
    response = built(cookie(value="1"), cookie(value="2", path="/x"), cookie(value="3"))

    assert response.cookies == ("a=2; Path=/x", "a=3; Path=/")


@pytest.mark.parametrize(
    "effect",
    [
        Status(code=0),
        Status(code=101),
        Status(code=1_000),
        Header(name="content-length", value="5"),
        Header(name="transfer-encoding", value="chunked"),
        Header(name="a b", value="c"),
        Header(name="", value="c"),
        Header(name="x", value="a\r\nset-cookie: b"),
        Header(name="x", value="\x00"),
        cookie(name="a=b"),
        cookie(value="a;b"),
        cookie(value="a b"),
        cookie(path="/; Domain=other.example"),
        cookie(domain="a\r\nx: y"),
    ],
)
def test_response_that_http_cannot_express_is_refused(effect):
    with pytest.raises(InvalidResponse):
        built(effect)


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("ä", "utf8", b"\xc3\xa4"),
        ("ä", "utf-8", b"\xc3\xa4"),
        ("ä\u0141", "latin1", b"\xe4\x41"),
        ("ä", "binary", b"\xe4"),
        ("ä", "ascii", b"\xe4"),
        ("a", "utf16le", b"a\x00"),
        ("a", "ucs2", b"a\x00"),
        ("aGk=", "base64", b"hi"),
        ("aGk", "base64", b"hi"),
        ("_-8=", "base64", b"\xff\xef"),
        ("a", "base64", b""),
        ("6869zz", "hex", b"hi"),
        ("686", "hex", b"h"),
        ("a\ud800", "utf8", b"a?"),
        ("a", "no such encoding", b"a"),
    ],
)
def test_response_body_is_encoded_like_in_node(text, encoding, expected):
    assert in_bytes(text, encoding) == expected


@pytest.mark.parametrize(
    "effect",
    [
        cookie(name="twite"),
        cookie(name="__Host-twite"),
        cookie(name="__HOST-Twite-Visitor"),
        Header(name="set-cookie", value="twite=1; Path=/console"),
        Header(name="set-cookie", value=" =twite=1"),
        Header(name="set-cookie", value="__Host-twite=1"),
        Header(name="clear-site-data", value='"cookies"'),
    ],
)
def test_client_template_cannot_change_cookies_of_the_console(effect):
    with pytest.raises(InvalidResponse, match="console"):
        built(effect)


def test_click_cookie_is_not_a_cookie_of_the_console():
    assert built(cookie(name="_twite")).cookies == ("_twite=b; Path=/",)
