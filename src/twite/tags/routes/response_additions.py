"""Add the effects of tags to the response for a page: cookies (like clicks), headers, pixels."""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.formats.data_tag.event import CLIENT_COOKIE
from twite.formats.ga4 import client_cookie as fpid
from twite.gateway.ports.events import Observer, TagSaid
from twite.http.addresses import host_of
from twite.http.cookies import BrowserCookies, cookie_domain, registrable_domain
from twite.http.responses import HttpResponse
from twite.tags.template.tag_response import ResponseSite, TagResponse, joined

_STREAM: Final = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"))


def with_tags(
    answer: HttpResponse,
    responses: Sequence[TagResponse],
    browser: BrowserCookies,
    observer: Observer,
) -> HttpResponse:
    """Return the response with the effects of tags. All consent signals must allow cookies."""
    if not responses:
        return answer
    whole = joined(
        responses,
        site=_site(browser),
        log_message=lambda tag, text: observer.see(TagSaid(tag=tag, text=text, own=True)),
    )
    pixels = [url for response in responses for url in response.pixels]
    answer = _streamed(answer, pixels) if pixels else answer
    headers = [*whole.headers, *(("set-cookie", cookie) for cookie in whole.cookies)]
    added = [(name.encode("ascii"), value.encode("utf-8", "replace")) for name, value in headers]
    return msgspec.structs.replace(answer, headers=(*answer.headers, *added))


def _site(browser: BrowserCookies) -> ResponseSite:
    ours, domain = cookie_domain(browser.hosts, browser.visit.origin)
    page = host_of(browser.visit.origin)
    host = next(
        (
            name
            for name in browser.hosts
            if name and (name == page if domain is None else registrable_domain(name) == domain)
        ),
        "",
    )
    wanted = browser.visit.source.cookie
    reserved = {*wanted.names, *((CLIENT_COOKIE,) if wanted.client_id else ())}
    reserved |= set() if wanted.fpid == "off" else {fpid.COOKIE}
    keeps = ours and browser.allowances() <= {True}
    return ResponseSite(
        host=host, site=domain, reserved=frozenset(reserved), keeps=keeps, now=browser.now
    )


def _streamed(response: HttpResponse, pixels: Sequence[str]) -> HttpResponse:
    """Return the response as a stream for Google's scripts: pixels to send, then the response."""
    body = response.body.decode("utf-8")
    messages = (
        {"send_pixel": pixels},
        {"response": {"status_code": response.status, "body": body}},
    )
    stream = b"".join(
        b"event: message\ndata: %b\n\n" % msgspec.json.encode(message) for message in messages
    )
    return msgspec.structs.replace(response, status=200, body=stream, headers=_STREAM)
