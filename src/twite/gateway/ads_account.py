"""An ads account at X: its events, and what the user may do with it.

What X answers to a signed question, cut by who must act:

    401                      the credentials, or this machine's clock
    403                      the app, or the account
    404                      the account or the event: another one, or not this user's
    other 4xx                what was asked
    429, 5xx, no answer      nobody: it passes; what may have been changed is to be looked at first
"""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final, Protocol, TypeVar

import msgspec

from twite.domain.destination import OAuthKeys
from twite.domain.errors import RefusedByX, XUnanswering
from twite.domain.times import SECOND
from twite.gateway.ports import Answer, Chance, Clock, NoAnswer
from twite.x import spec
from twite.x.decode import limit_of
from twite.x.event_tags import (
    Account,
    Change,
    EventTag,
    Page,
    Question,
    Shelf,
    accounts,
    read_accounts,
    read_complaints,
    read_page,
    read_permissions,
    read_tag,
)
from twite.x.oauth1 import sign

# A list that goes on beyond this turns in circles: X allows an account far fewer events.
_MOST_PAGES: Final = 100
_T = TypeVar("_T")


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """A request without a body. Its headers hold credentials: it does not print."""

    method: str
    url: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"Inquiry({self.method} {self.url})"


class Inquiries(Protocol):
    """The way to X for questions: one request, one answer, no retries, no redirects."""

    async def ask(self, inquiry: Inquiry) -> Answer | NoAnswer:
        """Ask. Raises nothing but CancelledError: what fails is a NoAnswer."""
        ...


class AdsUser:
    """Who asks, with their credentials. Each method raises RefusedByX and XUnanswering."""

    def __init__(
        self,
        *,
        inquiries: Inquiries,
        clock: Clock,
        chance: Chance,
        keys: OAuthKeys,
        api_url: str,
        version: str,
    ) -> None:
        self._inquiries = inquiries
        self._clock = clock
        self._chance = chance
        self._keys = keys
        self._api_url = api_url.rstrip("/")
        self._version = version

    def account(self, id_: str) -> "AdsAccount":
        """Return one account; nothing is asked yet."""
        return AdsAccount(user=self, shelf=Shelf(version=self._version, account=id_))

    async def accounts(self) -> tuple[Account, ...]:
        """Ask for the accounts that the user has a part in."""
        return await self.ask(accounts(self._version), read_accounts)

    async def ask(self, question: Question, read: Callable[[bytes], _T | None]) -> _T:
        """Ask, signed anew: X takes a nonce once."""
        url = f"{self._api_url}{question.path}"
        stamp = self._clock.now() // SECOND
        signature = sign(
            method=question.method,
            url=url,
            keys=self._keys,
            nonce=self._chance.nonce(),
            timestamp=stamp,
        )
        came = await self._inquiries.ask(
            Inquiry(method=question.method, url=url, headers={"Authorization": signature})
        )
        if isinstance(came, NoAnswer):
            raise _unanswered(question, came.reason, left=came.left)
        if not 200 <= came.status < 300:
            raise _refusal(question, came, now=self._clock.now())
        found = read(came.body) if came.whole else None
        if found is None:
            raise _unanswered(question, f"{came.status} and something else than X gives", left=True)
        return found


class AdsAccount:
    """The events of one account. Each method raises RefusedByX and XUnanswering."""

    def __init__(self, *, user: AdsUser, shelf: Shelf) -> None:
        self._user = user
        self._shelf = shelf

    async def events(self, *, with_deleted: bool = False) -> list[EventTag]:
        """Return all of them, however many pages they fill."""
        found: dict[str, EventTag] = {}
        cursor = None
        for _ in range(_MOST_PAGES):
            page = await self._page(with_deleted=with_deleted, cursor=cursor)
            found |= {tag.id: tag for tag in page.tags}
            if page.cursor is None or page.cursor == cursor:
                break
            cursor = page.cursor
        return list(found.values())

    async def create(self, change: Change) -> EventTag:
        """Make one; it must be without `faults`."""
        return await self._user.ask(self._shelf.creation(change), read_tag)

    async def update(self, event: str, change: Change) -> EventTag:
        """Change one."""
        return await self._user.ask(self._shelf.alteration(event, change), read_tag)

    async def delete(self, event: str) -> EventTag:
        """Delete one: X takes no conversion of it any more."""
        return await self._user.ask(self._shelf.deletion(event), read_tag)

    async def permissions(self) -> tuple[str, ...]:
        """Return what the user may do with the account, in X's words."""
        return await self._user.ask(self._shelf.access(), read_permissions)

    async def _page(self, *, with_deleted: bool, cursor: str | None) -> Page:
        question = self._shelf.listing(with_deleted=with_deleted, cursor=cursor)
        return await self._user.ask(question, read_page)


def _unanswered(question: Question, reason: str, *, left: bool) -> XUnanswering:
    again = "Try again later"
    if left and question.method != "GET":
        again = "It may have been done all the same: look with twite events list first"
    return XUnanswering(reason=f"X does not answer: {reason}. {again}", retry_after=60)


def _refusal(question: Question, came: Answer, *, now: int) -> RefusedByX | XUnanswering:
    complaints = read_complaints(came.body)
    said = "; ".join(dict.fromkeys(f"{one.code}: {one.message}" for one in complaints[:5]))
    if came.status >= 500 or came.status in {408, 423}:
        return _unanswered(question, f"{came.status} {said}".strip(), left=True)
    if came.status == 429:
        limit = limit_of(came.headers)
        wait = 60 if limit is None else max(1, min(900, (limit[1] - now) // SECOND))
        reason = f"X's limit of requests is spent. Try again in {wait} s"
        return XUnanswering(reason=reason, retry_after=wait)
    codes = {one.code for one in complaints}
    cure = _cure(came.status, codes, off=_off(came, now))
    return RefusedByX(status=came.status, reason=f"{came.status} {said}".strip(), cure=cure)


def _cure(status: int, codes: set[str], *, off: int) -> str:
    if status == 401:
        if abs(off) > spec.OAUTH_WINDOW_SECONDS:
            return f"This clock is {abs(off)} s from X's, which then refuses signatures: set it"
        return (
            "The credentials are wrong, were revoked, or are older than the app's approval for the "
            "Ads API. Make the token anew, and see that all four parts are of one app"
        )
    if spec.UNAUTHORIZED_CLIENT_APPLICATION in codes:
        return (
            "The app has no access to X's Ads API. Apply at "
            "help.x.com/en/forms/xdev/conversion-api-request, then make the token anew"
        )
    if spec.WEB_EVENT_TAG_NOT_FOUND in codes:
        return "There is no such event in this account; twite events list shows which there are"
    if status in {403, 404}:
        roles = " or ".join(spec.MANAGING_ROLES)
        return f"The account is another one than pixel.account names, or its user is not {roles}"
    return "Change what X names"


def _off(came: Answer, now: int) -> int:
    """Return by how many seconds X's clock is ahead, as its Date header says; 0 without one."""
    try:
        return int(parsedate_to_datetime(came.headers["date"]).timestamp()) - now // SECOND
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0
