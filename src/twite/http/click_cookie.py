"""Decide by consent whether a response sets the click id and client id cookies."""

from collections.abc import Iterable, Mapping
from typing import Final

from twite.consent.verdict import verdict
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.identifiers import Identifiers
from twite.formats.data_tag.event import CLIENT_COOKIE, CLIENT_COOKIE_SECONDS, client_cookie
from twite.formats.page_visit import Click
from twite.http.cookies import cookie_domain, drop_cookies, host_of, named_cookie, set_cookies
from twite.http.origins import PageVisit

Signals = Mapping[str, str | bool]

# Keeping anything on the device needs the consent that keeping a click needs.
_SOME_CLICK: Final = Click(id="click")
# The rules of a consent verdict under which nobody has denied consent.
_UNDECIDED: Final = frozenset({"missing", "unclear"})


def keeping(
    click: Click | None,
    *,
    signal_sets: Iterable[Signals],
    visit: PageVisit,
    hosts: tuple[str | None, ...],
    cookies: Mapping[str, str],
    now: int,
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that keep a click, if consent allows it and the page is of our site.

    If the person denies consent, the cookies that were set before are deleted. `said` holds the
    consent signals of the request: each must allow it. `hosts` are the names under which the client
    may have called the gateway, the likeliest first; `cookies` are the browser's.
    """
    ours, domain = cookie_domain(hosts, visit.origin)
    if click is None or not ours:
        return ()
    wanted = visit.source.cookie
    answers = {_allowed(click, signals, visit.source.consent, now) for signals in signal_sets}
    if answers <= {True}:
        return set_cookies(click, wanted=wanted, domain=domain, now=now)
    kept = [name for name in wanted.names if name in cookies]
    return drop_cookies(kept, domain=domain) if False in answers else ()


def keeping_client(
    client: str,
    *,
    signal_sets: Iterable[Signals],
    visit: PageVisit,
    hosts: tuple[str | None, ...],
    cookies: Mapping[str, str],
    now: int,
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that keeps the client id of Stape's Data Tag, by the rules of a click.

    Stape's client also sets it for pages of other sites (`SameSite=None`); Twite does not track
    anybody across sites.
    """
    ours, domain = cookie_domain(hosts, visit.origin)
    wanted = visit.source.cookie
    if not ours or not wanted.client_id:
        return ()
    answers = {_allowed(_SOME_CLICK, signals, visit.source.consent, now) for signals in signal_sets}
    value = client_cookie(client)
    if answers <= {True} and value is not None:
        return (
            named_cookie(
                CLIENT_COOKIE,
                value,
                seconds=CLIENT_COOKIE_SECONDS,
                domain=domain,
                http_only=wanted.http_only,
            ),
        )
    known = CLIENT_COOKIE in cookies and False in answers
    return drop_cookies([CLIENT_COOKIE], domain=domain) if known else ()


def called(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the host that the request names."""
    return host_of(headers.get(b"host", b"").decode("latin-1"))


def _allowed(click: Click, signals: Signals, policy: ConsentPolicy, now: int) -> bool | None:
    """Return whether consent lets us keep a click on the device, by the rules for sending it.

    None: consent is needed, and the person has neither given nor denied it.
    """
    found = verdict(dict(signals) or None, Identifiers(click_id=click.id), policy=policy, now=now)
    if (
        found.action not in {ConsentAction.SUPPRESS, ConsentAction.HOLD}
        and "click_id" not in found.strip
    ):
        return True
    return None if found.rule in _UNDECIDED else False
