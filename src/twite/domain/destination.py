"""Destination and source: a pixel with its credentials, and a client that submits for pixels."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, Literal

import msgspec

from twite.domain.consent import ConsentPolicy
from twite.domain.secret import Masked, Secret
from twite.domain.stats.value_guard import ValueGuard
from twite.domain.test_mode import in_test, real_name
from twite.domain.times import DAY, MINUTE

# Conversions in fifteen minutes, the strictest limit that X documents [doc WEB]
DEFAULT_RATE: Final = 60_000
RATE_WINDOW: Final = 15 * MINUTE
# A longer wait than this is not the rest of such a window.
LONG_WAIT: Final = 2 * RATE_WINDOW
# The longest time that X may ask to wait: a later one is ignored, because a clock or the header
# must be wrong, and nothing may stop for ever. X's Ads API documents windows of 1 and 15 minutes
# [doc FUND]; the longest of any of X's limits is 24 hours (x-user-limit-24hour-reset) [seen].
LONGEST_X_WAIT: Final = DAY
TEST_ACCOUNT: Final = in_test("emulator")
# Clients of X's conversion route use the pixel's own credentials and have no source.
X_SOURCE: Final = "x-api"
DEFAULT_DAYS: Final = 90  # the lifetime of Stape's tag [seen ST]; X attributes no click for longer


class PixelToken(msgspec.Struct, frozen=True, kw_only=True):
    """X's token for one pixel, sent in `X-Pixel-Token`."""

    token: Secret


def emulator_token(pixel: str) -> PixelToken:
    """Return the token of a pixel at the built-in emulator, if the settings name none."""
    return PixelToken(token=Secret(f"emulator-pixel-token-{real_name(pixel)}"))


class XApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app registered with X, which users authorize."""

    consumer_key: str
    consumer_secret: Secret


class OAuthKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The four parts of an OAuth 1.0a user context. The consumer key and token are not secret."""

    consumer_key: str
    consumer_secret: Secret
    token: str
    token_secret: Secret


class PlainOAuthKeys(Masked, frozen=True, kw_only=True):
    """OAuthKeys in plain text, to be sealed."""

    consumer_key: str
    consumer_secret: str
    token: str
    token_secret: str

    @property
    def keys(self) -> OAuthKeys:
        return OAuthKeys(
            consumer_key=self.consumer_key,
            consumer_secret=Secret(self.consumer_secret),
            token=self.token,
            token_secret=Secret(self.token_secret),
        )


def in_plain_text(keys: OAuthKeys) -> dict[str, str]:
    """Return the fields of PlainOAuthKeys."""
    return {
        "consumer_key": keys.consumer_key,
        "consumer_secret": keys.consumer_secret.reveal(),
        "token": keys.token,
        "token_secret": keys.token_secret.reveal(),
    }


class MissingCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """No user has signed in yet."""


Credentials = PixelToken | OAuthKeys | MissingCredentials


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where deliveries go. `events` maps event names to X's event ids in base 36.

    `fallback` holds the previous credentials while `credentials` are new: see
    twite.gateway.delivery.credentials.
    """

    pixel: str
    credentials: Credentials
    events: Mapping[str, str]
    account: str | None = None
    rate: int = DEFAULT_RATE
    # Conversions that X may already have are held for a user instead of being sent again.
    is_cautious: bool = False
    fallback: OAuthKeys | None = None
    value_guard: ValueGuard = ValueGuard.FLAG

    @property
    def meter(self) -> str:
        """The key of the rate limit: the account, or the pixel if no account is set."""
        return self.account or self.pixel

    def event_id(self, name: str) -> str | None:
        """Return the id of an event that clients and users name, if the settings have it.

        Capital letters and blanks around the name do not matter, unless the settings have it so.
        """
        return self.events.get(name) or self.events.get(name.strip().lower())


def for_tests(destination: Destination) -> Destination:
    """Return where a pixel's test conversions go: to the emulator, at its own rate limit."""
    pixel = in_test(destination.pixel)
    return Destination(
        pixel=pixel,
        credentials=emulator_token(pixel),
        events=destination.events,
        # No account of X has this name, so tests spend no limit of an account.
        account=TEST_ACCOUNT,
        rate=DEFAULT_RATE,
    )


def with_tests(destinations: Iterable[Destination]) -> tuple[Destination, ...]:
    """Return pixels, and where their test conversions go."""
    real = tuple(destinations)
    return (*real, *map(for_tests, real))


class ClickCookie(msgspec.Struct, frozen=True, kw_only=True):
    """The cookie that stores a click id: its `names`, and `days` after the click.

    Scripts cannot read `http_only` cookies, except X's own cookie, which X's script needs. With
    `client_id`, the client id of Stape's Data Tag is set, too, as Stape's client does. `fpid` says
    whether GA4 hits set Google's cookie FPID: never (`off`), with `new` client ids, or with the
    page's own id (`migrate`).
    """

    names: tuple[str, ...] = ("_twite",)
    days: int = DEFAULT_DAYS
    http_only: bool = False
    client_id: bool = True
    fpid: Literal["off", "new", "migrate"] = "off"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A client that may submit conversions: its key, its origins and the pixels it may submit for.

    `stored_keys` were created in the console, and are accepted like `key`.
    `write_key` is a second key, which is public: with it, a request counts as one of its pages.
    `region` (ISO 3166, such as "GB") applies to phone numbers without a country code. Conversions
    may name any of `pixels`; `pixel` is the default. `events` maps a tag's event names (lower-case)
    to Twite's event names or `ignore`. The credentials in requests from Stape's tags are replaced
    with the `configured` ones; for unknown pixels, they are `stored` or kept until delivery
    (`passing`).

    For requests from pages, `browser_value_limit` (a decimal) is the highest value accepted, and
    `browser_rate` is the number of requests per hour that all pages together may send. `x_pixel`
    says when the script also sends conversions with X's pixel: if the page loaded it (`use`), after
    loading it (`load`), or never (`off`).

    Conversions wait for `wait` milliseconds for identifiers from other events of the visitor.
    `keep_click_ids` are parameters with click ids of other networks, which the script keeps. Until
    `test_until` (ms), the source is in test mode: only the built-in emulator gets its conversions.
    """

    name: str
    key: Secret | None
    pixel: str
    pixels: frozenset[str]
    origins: tuple[str, ...] = ()
    write_key: str | None = None
    consent: ConsentPolicy = ConsentPolicy()
    region: str | None = None
    events: Mapping[str, str] = msgspec.field(default_factory=dict)
    cookie: ClickCookie = ClickCookie()
    browser_value_limit: Decimal | None = None
    browser_rate: int | None = None
    x_pixel: str = "use"
    value_guard: ValueGuard | None = None  # None: the pixel's setting
    stape_credentials: str = "configured"
    wait: int = 0
    keep_click_ids: tuple[str, ...] = ()
    stored_keys: tuple[Secret, ...] = ()
    # The pixels for which this or another source waits.
    joined_pixels: frozenset[str] = frozenset()
    test_until: int | None = None

    def at(self, now: int) -> "Source":
        """Return the source as it accepts at a time: in test mode, as another source."""
        if self.test_until is None or now >= self.test_until:
            return self
        return self.in_test()

    def in_test(self) -> "Source":
        """Return the source that accepts test conversions, which nothing real is joined with."""
        return msgspec.structs.replace(
            # X's pixel would send the conversions of pages to X.
            self,
            name=in_test(self.name),
            joined_pixels=frozenset(),
            wait=0,
            x_pixel="off",
        )

    @property
    def keys(self) -> tuple[Secret, ...]:
        """All keys that servers may use."""
        return self.stored_keys if self.key is None else (self.key, *self.stored_keys)

    @property
    def consent_required(self) -> bool:
        return self.consent.required
