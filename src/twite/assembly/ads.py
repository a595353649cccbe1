"""The Ads API, for commands: a pixel's account, and what its credentials may do there."""

from twite.assembly.settings import Settings
from twite.domain.destination import Destination, OAuthKeys
from twite.domain.errors import SettingsError
from twite.gateway.ads_account import AdsAccount, AdsUser
from twite.machine import SystemChance, SystemClock
from twite.senders.inquiries import HttpInquiries


def oauth_keys(destination: Destination) -> OAuthKeys | None:
    """Return the keys that X's Ads API takes; a pixel token is none."""
    if isinstance(destination.credentials, OAuthKeys):
        return destination.credentials
    return destination.fallback


def ads_user(settings: Settings, keys: OAuthKeys) -> AdsUser:
    """Return who asks."""
    return AdsUser(
        inquiries=HttpInquiries(timeout=settings.x.timeout),
        clock=SystemClock(),
        chance=SystemChance(),
        keys=keys,
        api_url=settings.x.api_url,
        version=settings.x.api_version,
    )


def ads_account(settings: Settings, destination: Destination) -> AdsAccount:
    """Return the account of a pixel. Raises SettingsError where it cannot be asked for."""
    place = f"pixel[{settings.destinations().index(destination)}]"
    keys = oauth_keys(destination)
    if keys is None:
        raise SettingsError(
            place=f"{place}.auth",
            message="X's Events Manager takes OAuth 1.0a alone, not a pixel token. Give the pixel "
            "the four parts of OAuth, or look at its events in X's own Events Manager",
        )
    if destination.account is None:
        raise SettingsError(
            place=f"{place}.account",
            message="is missing: X files events under the ads account. Write account = "
            '"18ce54d4x5t" with the account\'s id; twite check shows which there are',
        )
    return ads_user(settings, keys).account(destination.account)
