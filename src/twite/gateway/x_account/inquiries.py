"""Inquiries: requests to X's Ads API other than conversions; each returns an answer or raises.

What X answers is cut by who must act: RefusedByX where a person must change something, XUnanswering
where it passes. What may have been changed all the same is to be looked at first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Protocol, TypeVar

import msgspec

from twite.domain.destination import OAuthKeys, XApp
from twite.domain.errors import RefusedByX, XUnanswering
from twite.domain.times import SECOND
from twite.gateway.operations.rejection_messages import rejection_message
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.transport import NoResponse, Response
from twite.x.decode import limit_of
from twite.x.inquiry import Inquiry, InquiryRefusal, Question, answered, signed, words_of

_LONGEST_WAIT: Final = 900  # seconds: X's windows are no longer [doc FUND]
_T = TypeVar("_T")


class Inquiries(Protocol):
    """Transport of inquiries: one request, one response, no retries, no redirects."""

    async def ask(self, inquiry: Inquiry) -> Response | NoResponse:
        """Send an inquiry. Raises nothing but CancelledError: failures are a NoResponse."""
        ...


class XInquiryAddress(msgspec.Struct, frozen=True, kw_only=True):
    """X's address and our app there. Without an `app`, nobody can sign in."""

    api_url: str
    oauth_url: str
    version: str
    app: XApp | None = None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class XInquiries:
    """Asks. Each method raises RefusedByX and XUnanswering."""

    inquiries: Inquiries
    clock: Clock
    randomness: Randomness
    address: XInquiryAddress

    async def ask(
        self,
        make: Callable[[str, int], Inquiry],
        read: Callable[[int, bytes], _T | InquiryRefusal],
        *,
        about: str = "",
    ) -> _T:
        """Ask what `make` makes of a nonce and a moment (seconds): X takes a nonce once.

        `read` is given status and body; `about` is what the error should name: an account, a pixel.
        """
        inquiry = make(self.randomness.nonce(), self.clock.now() // SECOND)
        came = await self.inquiries.ask(inquiry)
        if isinstance(came, NoResponse):
            raise _unanswered(inquiry, came.reason, left=came.left)
        passing = _passing(inquiry, came, now=self.clock.now())
        if passing is not None:
            raise passing
        if not came.whole:
            raise _unanswered(inquiry, "its answer was cut off", left=True)
        found = read(came.status, came.body)
        if not isinstance(found, InquiryRefusal):
            return found
        reason, cure = rejection_message(found, about=about, off=_off(came, self.clock.now()))
        raise RefusedByX(why=found.why, status=found.status, reason=reason, cure=cure)

    async def ask_as(
        self,
        keys: OAuthKeys,
        question: Question,
        read: Callable[[bytes], _T | None],
        *,
        about: str = "",
    ) -> _T:
        """Ask the Ads API as a user."""

        def make(nonce: str, timestamp: int) -> Inquiry:
            api_url = self.address.api_url
            return signed(question, keys, api_url=api_url, nonce=nonce, timestamp=timestamp)

        def said(status: int, body: bytes) -> _T | InquiryRefusal:
            return answered(read, status=status, body=body)

        return await self.ask(make, said, about=about)


def _passing(inquiry: Inquiry, came: Response, *, now: int) -> XUnanswering | None:
    """Return the error of a transient answer (rate limit, 5xx), or None."""
    if came.status >= 500 or came.status in {408, 423}:
        answer = f"{came.status} {words_of(came.body)}".strip()
        return _unanswered(inquiry, answer, left=True)
    if came.status == 429:
        limit = limit_of(came.headers)
        wait = 60 if limit is None else max(1, min(_LONGEST_WAIT, (limit[1] - now) // SECOND))
        reason = f"X's request limit is used up. Try again in {wait} s"
        return XUnanswering(reason=reason, retry_after=wait)
    return None


def _unanswered(inquiry: Inquiry, reason: str, *, left: bool) -> XUnanswering:
    again = "Try again later"
    if left and inquiry.method != "GET":
        again = "X may have done it anyway: check before you try again"
    return XUnanswering(reason=f"X does not answer: {reason}. {again}", retry_after=60)


def _off(came: Response, now: int) -> int:
    """Return by how many seconds X's clock is ahead, as its Date header says; 0 without one."""
    try:
        return int(parsedate_to_datetime(came.headers["date"]).timestamp()) - now // SECOND
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0
