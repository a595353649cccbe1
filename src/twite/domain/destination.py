"""Destination and source: a pixel with its credentials, and a client that submits for pixels."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from twite.domain.consent import ConsentPolicy
from twite.domain.secret import Secret
from twite.domain.stats.value_guard import ValueGuard
from twite.domain.times import MINUTE

DEFAULT_RATE: Final = 60_000  # conversions in fifteen minutes, X's strictest statement [doc WEB]
RATE_WINDOW: Final = 15 * MINUTE
DEFAULT_DAYS: Final = 90  # as Stape's tag keeps it [seen ST]; X attributes no click for longer


class PixelToken(msgspec.Struct, frozen=True, kw_only=True):
    """X's per-pixel token, sent in `X-Pixel-Token`."""

    token: Secret


class XApp(msgspec.Struct, frozen=True, kw_only=True):
    """The app that somebody registered at X, and that people sign in to."""

    consumer_key: str
    consumer_secret: Secret


class OAuthKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The four parts of an OAuth 1.0a user context. The consumer key and token are not secret."""

    consumer_key: str
    consumer_secret: Secret
    token: str
    token_secret: Secret


class MissingCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials come from the secret store, and nobody has signed in yet."""


Credentials = PixelToken | OAuthKeys | MissingCredentials


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where deliveries go. `events` maps our names to X's event ids in base 36.

    With a `fallback`, `credentials` are new: see twite.gateway.delivery.credentials.
    """

    pixel: str
    credentials: Credentials
    events: Mapping[str, str]
    account: str | None = None
    rate: int = DEFAULT_RATE
    # What X may have already is held for a person instead of being sent again.
    is_cautious: bool = False
    fallback: OAuthKeys | None = None
    value_guard: ValueGuard = ValueGuard.FLAG

    @property
    def meter(self) -> str:
        """What X counts against one limit: the account, or the pixel while no account is named."""
        return self.account or self.pixel


class ClickCookie(msgspec.Struct, frozen=True, kw_only=True):
    """`names` are the cookies that are set, `days` how long from the click on they are kept.

    With `http_only` no script can read them, and the gateway takes them from the request; X's own
    cookie is left readable, since it is X's script that reads it. `client_id` is whether Stape's
    Data Tag has its client id kept, as by Stape's own client.
    """

    names: tuple[str, ...] = ("_twite",)
    days: int = DEFAULT_DAYS
    http_only: bool = False
    client_id: bool = True


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A client that may submit: its key, its origins, the pixels of its conversions.

    `region` is how to read a phone number without a country code (ISO 3166, as in "GB").
    `pixels` are those a submission may name; `pixel` is the one meant when it names none.
    `events` maps what a tag calls an event (in small letters) to our name of it, or to `ignore`;
    for what it does not name, the endpoints have a default. `consent` is what it makes of signals.
    `stape_credentials` is what becomes of those that Stape's tags bring: `configured` ones are used
    instead, or for pixels that the settings do not know they are `stored`, or `passing`: forgotten
    once what they came with is settled.

    What only pages need: `cookie` keeps the click, `browser_value_limit` (a decimal) is the most
    that a page may say a conversion is worth, `browser_rate` how many requests all its pages
    together may make in an hour, `twin` is whether the script gives a conversion to
    X's pixel too: where the page has it (`use`), loading it where not (`load`), or never (`off`).
    """

    name: str
    key: Secret | None
    pixel: str
    pixels: frozenset[str]
    origins: tuple[str, ...] = ()
    consent: ConsentPolicy = ConsentPolicy()
    region: str | None = None
    events: Mapping[str, str] = msgspec.field(default_factory=dict)
    cookie: ClickCookie = ClickCookie()
    browser_value_limit: Decimal | None = None
    browser_rate: int | None = None
    twin: str = "use"
    value_guard: ValueGuard | None = None  # the pixel's, where it says nothing
    stape_credentials: str = "configured"

    @property
    def consent_required(self) -> bool:
        """Whether nothing is sent without a person's yes."""
        return self.consent.required
