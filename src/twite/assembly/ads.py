"""The Ads API: where it is, who asks, and a pixel's account."""

from twite.assembly.settings import Settings
from twite.domain.destination import Destination, OAuthKeys
from twite.domain.errors import SettingsError
from twite.gateway.ads_account import AdsAccount
from twite.gateway.ask_x import AskX, XAddress
from twite.machine import SystemChance, SystemClock
from twite.senders.inquiries import HttpInquiries


def ask_x(settings: Settings) -> AskX:
    """Return who asks."""
    x = settings.x
    return AskX(
        inquiries=HttpInquiries(timeout=x.timeout),
        clock=SystemClock(),
        chance=SystemChance(),
        address=XAddress(
            api_url=x.api_url.rstrip("/"),
            oauth_url=x.oauth_url.rstrip("/"),
            version=x.api_version,
            app=x.app,
        ),
    )


def oauth_keys(destination: Destination) -> OAuthKeys | None:
    """Return the keys that X's Ads API takes; a pixel token is none."""
    if isinstance(destination.credentials, OAuthKeys):
        return destination.credentials
    return destination.fallback


def ads_account(settings: Settings, destination: Destination) -> AdsAccount:
    """Return the account of a pixel, with its stored credentials already given.

    Raises SettingsError where it cannot be asked for.
    """
    names = [one.pixel for one in settings.destinations()]
    place = f"pixel[{names.index(destination.pixel)}]"
    keys = oauth_keys(destination)
    if keys is None:
        raise SettingsError(
            place=f"{place}.auth",
            message="X's Events Manager takes OAuth 1.0a alone, not a pixel token. Sign in with "
            f"twite login --pixel {destination.pixel}, or look at its events in X's own Events "
            "Manager",
        )
    if destination.account is None:
        raise SettingsError(
            place=f"{place}.account",
            message="is missing: X files events under the ads account. Write account = "
            '"18ce54d4x5t" with the account\'s id; twite check shows which there are',
        )
    return AdsAccount(ask=ask_x(settings), keys=keys, account=destination.account)
