"""Access check: ask X whether credentials may send conversions, before the first one."""

from collections.abc import Callable
from functools import partial

import msgspec

from twite.domain.destination import Destination, OAuthKeys, PixelToken
from twite.domain.errors import RefusedByX
from twite.gateway.operations.rejection_messages import rejection_message
from twite.gateway.x_account.inquiries import XInquiries
from twite.x.inquiry import (
    AdsAccountAccess,
    Inquiry,
    InquiryRefusal,
    RefusalReason,
    accounts_question,
    may_manage,
    read_accounts,
    read_nothing,
    read_roles,
    roles_question,
    with_nothing,
)


class AccessCheck(msgspec.Struct, frozen=True, kw_only=True):
    """X refused nothing. `roles` is None if X did not name them.

    With roles, X is known to take conversions of the pixel's account; without, only that it did not
    refuse who asked.
    """

    account: str | None = None
    roles: tuple[str, ...] | None = None


async def check_access(
    ask: XInquiries, destination: Destination, credentials: OAuthKeys | PixelToken
) -> AccessCheck:
    """Check access without sending a conversion. Raises RefusedByX, XUnanswering.

    The roles are read where an account is named. Where it is not, and for an app that may read no
    roles, X is asked to take no conversion at all.
    """
    pixel = destination.pixel
    if isinstance(credentials, PixelToken) or destination.account is None:
        await _take_nothing(ask, pixel, credentials)
        return AccessCheck()
    account = destination.account
    question = roles_question(ask.address.version, account)
    about = f"ads account {account}"
    try:
        roles = await ask.ask_as(credentials, question, read_roles, about=about)
    except RefusedByX as refused:
        if refused.why != RefusalReason.APP_UNAPPROVED:
            raise
        # Whether an app that is approved for conversions alone may read roles, X does not say.
        await _take_nothing(ask, pixel, credentials)
        return AccessCheck(account=account)
    if not may_manage(roles):
        wrong = InquiryRefusal(why=RefusalReason.WRONG_ROLE, said=f"{', '.join(roles) or 'none'}")
        reason, cure = rejection_message(wrong, about=about)
        raise RefusedByX(why=wrong.why, status=0, reason=reason, cure=cure)
    return AccessCheck(account=account, roles=roles)


async def accounts_of(ask: XInquiries, keys: OAuthKeys) -> tuple[AdsAccountAccess, ...]:
    """Return the accounts that a user has a part in. Raises RefusedByX, XUnanswering."""
    return await ask.ask_as(keys, accounts_question(ask.address.version), read_accounts)


async def _take_nothing(ask: XInquiries, pixel: str, credentials: OAuthKeys | PixelToken) -> None:
    make: Callable[[str, int], Inquiry] = _made(ask, pixel, credentials)

    def read(status: int, body: bytes) -> bool | InquiryRefusal:
        return read_nothing(credentials, status=status, body=body)

    await ask.ask(make, read, about=f"pixel {pixel}")


def _made(
    ask: XInquiries, pixel: str, credentials: OAuthKeys | PixelToken
) -> Callable[[str, int], Inquiry]:
    make = partial(
        with_nothing,
        credentials,
        pixel=pixel,
        api_url=ask.address.api_url,
        version=ask.address.version,
    )
    return lambda nonce, timestamp: make(nonce=nonce, timestamp=timestamp)
