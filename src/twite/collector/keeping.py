"""Whether and how our answer keeps a click in the browser."""

from collections.abc import Iterable, Mapping

from twite.collector.cookies import cookie_domain, host_of, set_cookies
from twite.collector.origins import Visit
from twite.consent.verdict import verdict
from twite.domain.consent import Action, Policy
from twite.domain.identifiers import Identifiers
from twite.intake.clicks import Click

Signals = Mapping[str, str | bool]


def keeping(
    click: Click | None,
    *,
    said: Iterable[Signals],
    visit: Visit,
    hosts: tuple[str | None, ...],
    now: int,
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that keep a click, where the person allows it and the page is of our site.

    `said` holds the signals of consent that came with the request: each must allow it. `hosts` are
    the names that we may have been called by, the likeliest first.
    """
    policy = visit.source.consent
    if click is None or not all(_may_be_kept(click, one, policy, now) for one in said):
        return ()
    ours, domain = cookie_domain(hosts, visit.origin)
    if not ours:
        return ()
    return set_cookies(click, wanted=visit.source.cookie, domain=domain, now=now)


def called(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the host that the request names."""
    return host_of(headers.get(b"host", b"").decode("latin-1"))


def _may_be_kept(click: Click, said: Signals, policy: Policy, now: int) -> bool:
    """Whether consent lets us keep a click on the person's device, as it lets us send it."""
    found = verdict(dict(said) or None, Identifiers(click_id=click.id), policy=policy, now=now)
    kept = found.action not in {Action.SUPPRESS, Action.HOLD}
    return kept and "click_id" not in found.strip
