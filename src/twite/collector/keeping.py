"""Whether and how our answer keeps a click in the browser."""

from collections.abc import Iterable, Mapping
from typing import Final

from twite.collector.cookies import cookie_domain, drop_cookies, host_of, set_cookies
from twite.collector.origins import Visit
from twite.consent.verdict import verdict
from twite.domain.consent import Action, Policy
from twite.domain.identifiers import Identifiers
from twite.intake.clicks import Click

Signals = Mapping[str, str | bool]

# The rules of a verdict by which nobody has said no.
_UNDECIDED: Final = frozenset({"missing", "unclear"})


def keeping(
    click: Click | None,
    *,
    said: Iterable[Signals],
    visit: Visit,
    hosts: tuple[str | None, ...],
    cookies: Mapping[str, str],
    now: int,
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that keep a click, where the person allows it and the page is of our site.

    Where the person says no, what was kept before is taken away. `said` holds the signals of
    consent that came with the request: each must allow it. `hosts` are the names that we may have
    been called by, the likeliest first; `cookies` are the browser's.
    """
    ours, domain = cookie_domain(hosts, visit.origin)
    if click is None or not ours:
        return ()
    wanted = visit.source.cookie
    answers = {_allowed(click, one, visit.source.consent, now) for one in said}
    if answers <= {True}:
        return set_cookies(click, wanted=wanted, domain=domain, now=now)
    kept = [name for name in wanted.names if name in cookies]
    return drop_cookies(kept, domain=domain) if False in answers else ()


def called(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the host that the request names."""
    return host_of(headers.get(b"host", b"").decode("latin-1"))


def _allowed(click: Click, said: Signals, policy: Policy, now: int) -> bool | None:
    """Return whether consent lets us keep a click on the person's device, as it lets us send it.

    None: nobody has said no, and nobody yes where that is needed.
    """
    found = verdict(dict(said) or None, Identifiers(click_id=click.id), policy=policy, now=now)
    if found.action not in {Action.SUPPRESS, Action.HOLD} and "click_id" not in found.strip:
        return True
    return None if found.rule in _UNDECIDED else False
