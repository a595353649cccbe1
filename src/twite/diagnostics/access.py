"""Diagnostics at X: check each pixel's credentials, the user, and each event."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import msgspec

from twite.app.logins import ask_x, stored
from twite.config.settings import Settings
from twite.domain.destination import Destination, MissingCredentials, OAuthKeys, PixelToken
from twite.domain.errors import NotOpened, RefusedByX, TwiteError, XUnanswering
from twite.gateway.ports.findings import CheckFinding, CheckStatus, failed, passed, warning
from twite.gateway.x_account.event_tags import account_of, oauth_keys
from twite.gateway.x_account.inquiries import AccessCheck, accounts_of, check_access
from twite.x.event_tags import CREATED_BY_X, TRACKING, UNVERIFIED, EventTag
from twite.x.inquiry import RefusalReason

_NAMES: Final = {PixelToken: "the pixel token", OAuthKeys: "the OAuth credentials"}
_SHORTEST_PART: Final = 16  # X's OAuth keys are never shorter than this, but a truncated copy is.


async def access(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check each pixel at X, with the gateway's own requests. X counts no conversion."""
    try:
        pixels = await stored(settings)
    except NotOpened as error:
        yield failed(
            "credentials",
            str(error),
            "Stored credentials cannot be decrypted: the gateway would not start.",
            "Restore the key that encrypted them, as server.secret_key or in "
            "server.former_secret_keys.",
        )
        return
    except TwiteError:
        return  # the check of the store reports why
    for pixel in pixels:
        wrong = False
        for keys in (pixel.credentials, pixel.fallback):
            async for finding in _credentials(settings, pixel, keys):
                wrong = wrong or finding.status is CheckStatus.FAILED
                yield finding
        if not wrong:
            async for finding in _events(settings, pixel):
                yield finding


async def _credentials(
    settings: Settings,
    destination: Destination,
    held: PixelToken | OAuthKeys | MissingCredentials | None,
) -> AsyncIterator[CheckFinding]:
    if held is None:
        return
    if isinstance(held, MissingCredentials):
        yield failed(
            "credentials",
            f"pixel {destination.pixel}: no user has signed in",
            "The pixel's conversions stay queued.",
            f"Run twite login --pixel {destination.pixel}; or paste a pixel token with "
            "--pixel-token.",
        )
        return
    if not _is_whole(held):
        return  # unreadable credentials were already reported
    for finding in _cut_short(destination, held):
        yield finding
    name = f"pixel {destination.pixel}: {_NAMES[type(held)]}"
    try:
        found = await check_access(ask_x(settings), destination, held)
    except RefusedByX as refused:
        spare = destination.fallback is not None and held == destination.credentials
        status = warning if spare else failed
        meaning = (
            "Each request is sent twice, once with each credential."
            if spare
            else "X would refuse the pixel's conversions, and they would stay queued."
        )
        yield status("credentials", f"{name}: {refused.reason}", meaning, f"{refused.fix}.")
    except XUnanswering as error:
        yield warning(
            "credentials",
            f"{name} could not be checked: {error.reason}",
            "Twite does not know whether X accepts the credentials.",
            "Run the check again.",
        )
    else:
        yield passed("credentials", f"{name}: {_description(found)}")
        if isinstance(held, OAuthKeys) and destination.account is None:
            yield await _no_account(settings, destination, held)


def _description(check: AccessCheck) -> str:
    if check.roles is not None:
        return f"the user is {', '.join(check.roles)} on ads account {check.account}"
    return "X did not refuse the credentials; the first conversion shows whether X accepts them"


async def _no_account(
    settings: Settings, destination: Destination, keys: OAuthKeys
) -> CheckFinding:
    """List the accessible accounts, so that the operator can configure one."""
    try:
        seen = await accounts_of(ask_x(settings), keys)
    except (RefusedByX, XUnanswering):
        seen = ()
    which = ", ".join(f"{account.id} ({account.name[:40]})" for account in seen[:10])
    return warning(
        "credentials",
        f"pixel {destination.pixel} has no account in the settings"
        + (f"; its user has access to {which}" if which else ""),
        "Twite cannot read the user's role or the pixel's events, and the pixel does not "
        "share a rate limit with the account's other pixels.",
        'Set account = "…" with the pixel\'s ads account.',
    )


async def _events(settings: Settings, destination: Destination) -> AsyncIterator[CheckFinding]:
    for finding in _twice(destination):
        yield finding
    keys = oauth_keys(destination)
    if keys is None or destination.account is None or not _is_whole(keys):
        named = ", ".join(
            _both(destination, name, event) for name, event in destination.events.items()
        )
        yield passed(
            "events",
            f"pixel {destination.pixel}: {named}; not checked, because X "
            "requires OAuth to look up events. A wrong id shows only when X refuses a conversion",
        )
        return
    try:
        known = await account_of(ask_x(settings), destination).events(with_deleted=True)
    except RefusedByX as refused:
        if refused.why != RefusalReason.TOKEN_REFUSED:
            # An app approved only for conversions may be able to send, but not to read.
            yield warning(
                "events",
                f"pixel {destination.pixel}: {refused.reason}",
                "Twite does not know whether the pixel's events exist.",
                f"{refused.fix}.",
            )
        return
    except XUnanswering as error:
        yield warning(
            "events",
            f"pixel {destination.pixel}: {error.reason}",
            "Twite does not know whether the pixel's events exist.",
            "Run the check again.",
        )
        return
    for name, event in destination.events.items():
        yield _on_event(destination, name, event, known)


def _on_event(
    destination: Destination, name: str, event: str, known: Sequence[EventTag]
) -> CheckFinding:
    shown = f"pixel {destination.pixel}: {_both(destination, name, event)}"
    if event.startswith(CREATED_BY_X):
        return passed("events", f"{shown}: X creates it at the first conversion")
    # X does not document which of an event's two ids a conversion must contain. [unknown]
    tag = next((listed for listed in known if event in {listed.id, listed.website_tag_id}), None)
    if tag is None:
        return failed(
            "events",
            f"{shown}: ads account {destination.account} has no such event",
            "X returns 404 for each conversion of this event.",
            "Find the id with twite events list and correct it, or create the event with "
            "twite events create.",
        )
    if tag.deleted:
        return failed(
            "events",
            f"{shown}: “{tag.name}” was deleted at X",
            "X returns 404 for each conversion of this event.",
            "Create another with twite events create, and use its id.",
        )
    days = f"{tag.click_window} days after a click, {tag.view_through_window} after a view"
    what = f"{shown}: “{tag.name}”, {tag.type}, {days}"
    if tag.status == TRACKING:
        return passed(
            "events",
            f"{what}; tracking, last conversion at {tag.last_tracked_at or 'an unknown time'}",
        )
    if tag.status == UNVERIFIED:
        # The status changes within a day of the first conversion. [doc WEB]
        return passed("events", f"{what}; X has tracked no conversion of it yet")
    return warning(
        "events",
        f"{what}; its status is {tag.status[:40]!r}",
        "X does not document this status.",
        "Check the event in X's Events Manager.",
    )


def _twice(destination: Destination) -> Iterator[CheckFinding]:
    """Report names that map to the same event, in either form of its id."""
    ids = list(destination.events.values())
    for event in sorted({event_id for event_id in ids if ids.count(event_id) > 1}):
        names = " and ".join(name for name, id_ in destination.events.items() if id_ == event)
        yield warning(
            "events",
            f"pixel {destination.pixel}: {names} are the same event, {event}",
            "X counts these events together, and drops one of two conversions with the same id.",
            "Give each name its own event, unless this is intended.",
        )


def _both(destination: Destination, name: str, event: str) -> str:
    """Show an event's id in both forms: as Twite sends it, and as X's pixel uses it."""
    long = "" if event.startswith(CREATED_BY_X) else f" (tw-{destination.pixel}-{event})"
    return f"{name} → {event}{long}"


def _parts(held: PixelToken | OAuthKeys) -> dict[str, str]:
    if isinstance(held, PixelToken):
        return {"pixel_token": held.token.reveal()}
    shown = {name: getattr(held, name) for name in msgspec.structs.asdict(held)}
    return {name: part if isinstance(part, str) else part.reveal() for name, part in shown.items()}


def _is_whole(held: PixelToken | OAuthKeys) -> bool:
    return all(_parts(held).values())


def _cut_short(destination: Destination, held: PixelToken | OAuthKeys) -> Iterator[CheckFinding]:
    if isinstance(held, PixelToken):
        return  # X does not document the length of a pixel token.
    short = [name for name, part in _parts(held).items() if len(part) < _SHORTEST_PART]
    if short:
        yield warning(
            "credentials",
            f"pixel {destination.pixel}: too short for one of X's keys: {' and '.join(short)}",
            "If a part of the key is missing, X returns 401.",
            "Copy it again from X's developer console.",
        )
