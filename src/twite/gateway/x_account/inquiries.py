"""Inquiries: requests to X's Ads API other than conversions, and the access check.

RefusedByX means that a user must change something; XUnanswering means that a retry may succeed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from twite.domain.destination import Destination, OAuthKeys, PixelToken, XApp
from twite.domain.errors import RefusedByX, XUnanswering
from twite.domain.times import SECOND
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.transport import NoResponse, Response
from twite.x import spec
from twite.x.decode import asked_again_at, ignored_waits, is_ambiguous, names_time
from twite.x.inquiry import (
    AdsAccountAccess,
    Inquiry,
    InquiryRefusal,
    Question,
    RefusalReason,
    accounts_question,
    answered,
    may_manage,
    read_accounts,
    read_nothing,
    read_roles,
    roles_question,
    signed,
    with_nothing,
    words_of,
)

APPLY_AT: Final = "help.x.com/en/forms/xdev/conversion-api-request"  # [doc FUND, CM]
_ROLES: Final = " or ".join(spec.MANAGING_ROLES)
# Another request would get the same response.
_TOO_LONG: Final = InquiryRefusal(reason=RefusalReason.UNREADABLE, said="longer than Twite reads")
_T = TypeVar("_T")


class RejectionMessage(NamedTuple):
    """The description of a refusal: what is wrong, and the fix.

    `{about}` stands for the account, pixel or URL that the refusal is about.
    """

    fact: str
    fix: str


_WORDS: Final = MappingProxyType(
    {
        RefusalReason.APP_UNKNOWN: RejectionMessage(
            fact="X does not know the app",
            fix="x.consumer_key and x.consumer_secret must be the API key and secret that X's "
            "developer console shows for the app: copy both again",
        ),
        RefusalReason.CALLBACK_REFUSED: RejectionMessage(
            fact="X does not accept {about} as a callback URL",
            fix="Add that exact URL to the app's callback URLs in X's developer console, or "
            "sign in with a PIN",
        ),
        RefusalReason.DENIED: RejectionMessage(
            fact="the sign-in was cancelled at X",
            fix="Nothing was stored. To sign in, start again and choose Authorize app",
        ),
        RefusalReason.STRANGER: RejectionMessage(
            fact="X's response does not match a sign-in that was started here",
            fix="The sign-in may have expired, or another browser finished it. Start again",
        ),
        RefusalReason.VERIFIER_REFUSED: RejectionMessage(
            fact="X refused the PIN",
            fix="A PIN works once and expires after a few minutes. Start again, and type all its "
            "digits",
        ),
        RefusalReason.TOKEN_REFUSED: RejectionMessage(
            fact="X refused the credentials{of}",
            fix="They were revoked or regenerated at X, are incomplete, belong to two "
            "different apps, or are older than the app's approval for the Ads API. Sign "
            "in again with twite login, or put new credentials into the settings",
        ),
        RefusalReason.APP_UNAPPROVED: RejectionMessage(
            fact="X has not approved the app for its Ads API",
            fix=f"Apply at {APPLY_AT} (up to three working days; “Conversion Only” is enough to "
            "send), and sign in again afterwards: X refuses tokens from before the approval",
        ),
        RefusalReason.NO_ROLE: RejectionMessage(
            fact="the user has no access to {about}, or it does not exist",
            fix=f"An admin of the ads account must give the user the role {_ROLES} "
            "(ads.x.com, Edit access to account); or sign in as a user who has the "
            "role. Also check pixel.account",
        ),
        RefusalReason.WRONG_ROLE: RejectionMessage(
            fact="the user's roles{of} are not sufficient",
            fix=f"Conversions need {_ROLES}. An admin of the ads account can give the user "
            "that role (ads.x.com, Edit access to account); or sign in as a user who "
            "has it",
        ),
        RefusalReason.PIXEL_TOKEN_REFUSED: RejectionMessage(
            fact="X refused this pixel token{of}",
            fix="Copy it again from X's Events Manager (the pixel, Install Pixel, Manual, "
            "Conversion API, Generate access token), and make sure that it belongs to this pixel",
        ),
        RefusalReason.NO_EVENT: RejectionMessage(
            fact="the account has no such event",
            fix="Run twite events list to see the events",
        ),
        RefusalReason.NOT_LIKE_THAT: RejectionMessage(
            fact="X refused the request", fix="Correct the value that X's response names"
        ),
        RefusalReason.UNREADABLE: RejectionMessage(
            fact="X's response is undocumented",
            fix="Check that x.api_url and x.oauth_url are X's URLs, and try again later",
        ),
    }
)


def refused(refusal: InquiryRefusal, *, about: str = "", off: int = 0) -> RefusedByX:
    """Return the error for a refusal, in words.

    `off` is how many seconds X's clock is ahead of this machine's.
    """
    fact, fix = _WORDS[refusal.reason]
    reason = fact.format(about=about or "the account", of=f" for {about}" if about else "")
    answer = f"{refusal.status or ''} {refusal.said}".strip()
    if answer:
        reason = f"{reason} ({answer})"
    if refusal.status == 401 and abs(off) > spec.OAUTH_WINDOW_SECONDS:
        fix = (
            f"This machine's clock differs from X's by {abs(off)} s, so X refuses signatures: "
            "set the clock"
        )
    return RefusedByX(why=refusal.reason, status=refusal.status, reason=reason, fix=fix)


class Inquiries(Protocol):
    """Transport of inquiries: one request, one response, no retries, no redirects."""

    async def ask(self, inquiry: Inquiry) -> Response | NoResponse:
        """Send an inquiry. Raises only CancelledError: a failure is a NoResponse."""
        ...


class XInquiryAddress(msgspec.Struct, frozen=True, kw_only=True):
    """X's addresses, and the app for signing in. Without an `app`, nobody can sign in."""

    api_url: str
    oauth_url: str
    version: str
    app: XApp | None = None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class XInquiries:
    """Sends requests to X's Ads API. Each method raises RefusedByX and XUnanswering."""

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
        """Send the request that `make` builds from a nonce and a time (seconds).

        X accepts each nonce only once. `read` gets status and body; `about` is the account, pixel
        or URL to name in an error.
        """
        inquiry = make(self.randomness.nonce(), self.clock.now() // SECOND)
        came = await self.inquiries.ask(inquiry)
        if isinstance(came, NoResponse):
            raise _unanswered(inquiry, came.reason, left=came.left)
        passing = _passing(inquiry, came, now=self.clock.now())
        if passing is not None:
            raise passing
        found: _T | InquiryRefusal = _TOO_LONG
        if came.whole:
            found = read(came.status, came.body)
        if not isinstance(found, InquiryRefusal):
            return found
        raise refused(found, about=about, off=_off(came, self.clock.now()))

    async def ask_as(
        self,
        keys: OAuthKeys,
        question: Question,
        read: Callable[[bytes], _T | None],
        *,
        about: str = "",
    ) -> _T:
        """Send a request to the Ads API as a user."""

        def make(nonce: str, timestamp: int) -> Inquiry:
            api_url = self.address.api_url
            return signed(question, keys, api_url=api_url, nonce=nonce, timestamp=timestamp)

        def said(status: int, body: bytes) -> _T | InquiryRefusal:
            return answered(read, status=status, body=body)

        return await self.ask(make, said, about=about)


def _passing(inquiry: Inquiry, response: Response, *, now: int) -> XUnanswering | None:
    """Return the error for a transient response (rate limit, 5xx), or None."""
    if not (is_ambiguous(response.status) or response.status == 429):
        return None
    # X's times are those of its own clock.
    of_x = now + _off(response, now) * SECOND
    until = asked_again_at(response.status, response.headers, of_x)
    # Another second, because X's clock may show parts of seconds, and the header does not.
    wait = max(1, -(-(until - of_x) // SECOND) + 1)
    is_named = names_time(response.status, response.headers, of_x)
    ignored = ignored_waits(response.status, response.headers, of_x)
    if response.status == 429:
        reason = f"X's request limit is used up. Try again in {wait} s"
        reason = f"{reason} ({ignored})" if ignored else reason
        return XUnanswering(reason=reason, retry_after=wait, is_named=is_named)
    answer = f"{response.status} {words_of(response.body)}".strip()
    answer = f"{answer} ({ignored})" if ignored else answer
    return _unanswered(inquiry, answer, left=True, wait=wait, is_named=is_named)


def _unanswered(
    inquiry: Inquiry, reason: str, *, left: bool, wait: int = 60, is_named: bool = False
) -> XUnanswering:
    again = "Try again later"
    if left and inquiry.method != "GET":
        again = "X may have carried out the request: check before you try again"
    words = f"no valid response from X: {reason}. {again}"
    return XUnanswering(reason=words, retry_after=wait, is_named=is_named)


def _off(response: Response, now: int) -> int:
    """Return how many seconds X's clock is ahead, from its Date header; 0 if there is none."""
    try:
        return int(parsedate_to_datetime(response.headers["date"]).timestamp()) - now // SECOND
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0


class AccessCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an access check in which X refused nothing.

    `roles` is None if X did not return roles. With roles, X accepts conversions for the pixel's
    account; without them, it is only known that X did not refuse the credentials.
    """

    account: str | None = None
    roles: tuple[str, ...] | None = None


async def check_access(
    inquiries: XInquiries, destination: Destination, credentials: OAuthKeys | PixelToken
) -> AccessCheck:
    """Check access without sending a conversion. Raises RefusedByX, XUnanswering.

    The check reads the user's roles if the settings have an account. Otherwise, or if the app may
    not read roles, the check sends a request without conversions.
    """
    pixel = destination.pixel
    if isinstance(credentials, PixelToken) or destination.account is None:
        await _take_nothing(inquiries, pixel, credentials)
        return AccessCheck()
    account = destination.account
    question = roles_question(inquiries.address.version, account)
    about = f"ads account {account}"
    try:
        roles = await inquiries.ask_as(credentials, question, read_roles, about=about)
    except RefusedByX as error:
        if error.why != RefusalReason.APP_UNAPPROVED:
            raise
        # X does not say whether an app that is approved only for conversions may read roles.
        await _take_nothing(inquiries, pixel, credentials)
        return AccessCheck(account=account)
    if not may_manage(roles):
        wrong = InquiryRefusal(
            reason=RefusalReason.WRONG_ROLE, said=f"{', '.join(roles) or 'none'}"
        )
        raise refused(wrong, about=about)
    return AccessCheck(account=account, roles=roles)


async def accounts_of(inquiries: XInquiries, keys: OAuthKeys) -> tuple[AdsAccountAccess, ...]:
    """Return the ads accounts that a user can access. Raises RefusedByX, XUnanswering."""
    return await inquiries.ask_as(keys, accounts_question(inquiries.address.version), read_accounts)


async def _take_nothing(
    inquiries: XInquiries, pixel: str, credentials: OAuthKeys | PixelToken
) -> None:
    def make(nonce: str, timestamp: int) -> Inquiry:
        return with_nothing(
            credentials,
            pixel=pixel,
            api_url=inquiries.address.api_url,
            version=inquiries.address.version,
            nonce=nonce,
            timestamp=timestamp,
        )

    def read(status: int, body: bytes) -> bool | InquiryRefusal:
        return read_nothing(credentials, status=status, body=body)

    await inquiries.ask(make, read, about=f"pixel {pixel}")
