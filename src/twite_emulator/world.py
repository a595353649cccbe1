"""The emulator's accounts, pixels, events, campaigns, apps, users and tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from twite_emulator.exchange import EmulatorInputError

Permission = Literal[
    "ACCOUNT_ADMIN",
    "AD_MANAGER",
    "CREATIVE_MANAGER",
    "CAMPAIGN_ANALYST",
    "ANALYST",
    "PARTNER_AUDIENCE_MANAGER",
    "TWEET_COMPOSER",
]
Placement = Literal["ALL_ON_TWITTER", "SPOTLIGHT", "TREND"]
_REFERENCES: Final = (
    ("pixels", "account", "accounts"),
    ("events", "pixel", "pixels"),
    ("funding_instruments", "account", "accounts"),
    ("campaigns", "funding_instrument", "funding_instruments"),
    ("line_items", "campaign", "campaigns"),
    ("tokens", "user", "users"),
    ("tokens", "app", "apps"),
)
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class _Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class EmulatedAccount(_Entry, frozen=True, kw_only=True):
    id: str  # base-36
    name: str = "Example"
    timezone: str = "Europe/London"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class EmulatedPixel(_Entry, frozen=True, kw_only=True):
    id: str
    account: str
    token: str | None = None
    token_issued_at: float | None = None  # epoch seconds; None for the start of the emulator

    def __repr__(self) -> str:
        return f"EmulatedPixel(id={self.id!r}, account={self.account!r})"


class EmulatedEventTag(_Entry, frozen=True, kw_only=True):
    """X's web event tag: what the Events Manager calls an event."""

    id: str
    pixel: str
    name: str = ""
    type: str = "CUSTOM"
    click_window: int = 30
    view_through_window: int = 1
    retargeting_enabled: bool = True
    website_tag_id: str = ""  # empty: the id itself
    created_at: float = 0
    deleted: bool = False


class EmulatedFundingInstrument(_Entry, frozen=True, kw_only=True):
    """What pays for the campaigns of an account. It decides their currency."""

    id: str
    account: str
    description: str = "Visa ending in 0650"
    currency: str = "EUR"  # ISO 4217
    created_at: float = 0
    deleted: bool = False


class EmulatedCampaign(_Entry, frozen=True, kw_only=True):
    id: str
    funding_instrument: str
    name: str = "Example"
    entity_status: Literal["ACTIVE", "PAUSED", "DRAFT"] = "ACTIVE"
    created_at: float = 0
    deleted: bool = False


class EmulatedLineItem(_Entry, frozen=True, kw_only=True):
    """A part of a campaign, which X's interface calls an ad group."""

    id: str
    campaign: str
    name: str = "Example"
    placements: tuple[Placement, ...] = ("ALL_ON_TWITTER",)
    primary_web_event_tag: str | None = None  # the event that it is optimised for
    entity_status: Literal["ACTIVE", "PAUSED", "DRAFT"] = "ACTIVE"
    created_at: float = 0
    deleted: bool = False


class EmulatedApp(_Entry, frozen=True, kw_only=True):
    id: str
    consumer_key: str
    consumer_secret: str
    name: str = "Example App"
    access: Literal["none", "conversion_only", "standard"] = "standard"
    callbacks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"EmulatedApp(id={self.id!r}, access={self.access!r})"


class EmulatedUser(_Entry, frozen=True, kw_only=True):
    id: str
    screen_name: str = "example"
    roles: Mapping[str, tuple[Permission, ...]] = {}  # by account id


class EmulatedToken(_Entry, frozen=True, kw_only=True):
    """An access token of one user for one app."""

    token: str
    secret: str
    user: str
    app: str
    revoked: bool = False

    def __repr__(self) -> str:
        return f"EmulatedToken(user={self.user!r}, app={self.app!r}, revoked={self.revoked!r})"


class World:
    """The entries of each kind, by key; an event is found by either of its two ids."""

    def __init__(self) -> None:
        self.accounts: dict[str, EmulatedAccount] = {}
        self.pixels: dict[str, EmulatedPixel] = {}
        self.events: dict[str, EmulatedEventTag] = {}
        self.funding_instruments: dict[str, EmulatedFundingInstrument] = {}
        self.campaigns: dict[str, EmulatedCampaign] = {}
        self.line_items: dict[str, EmulatedLineItem] = {}
        self.apps: dict[str, EmulatedApp] = {}
        self.users: dict[str, EmulatedUser] = {}
        self.tokens: dict[str, EmulatedToken] = {}
        self.website_tags: dict[str, str] = {}  # website_tag_id → event id
        self._serial = int("o9000", 36)
        self.merge(default_document())

    def merge(self, document: Mapping[str, object]) -> None:
        """Add new entries, and change the given fields of known ones; all or nothing.

        `document` has lists under the names in KINDS.
        """
        merged = {kind: dict(getattr(self, kind)) for kind in KINDS}
        for kind, entries in document.items():
            if kind not in KINDS or not isinstance(entries, list):
                raise EmulatorInputError(
                    f"The world has lists under {', '.join(KINDS)}, but not under {kind!r}"
                )
            for entry in entries:
                _put(merged[kind], kind, entry)
        _check_references(merged)
        for kind, table in merged.items():
            setattr(self, kind, table)
        self.website_tags = {tag.website_tag_id: tag.id for tag in self.events.values()}

    def put_event(self, tag: EmulatedEventTag) -> None:
        self.events[tag.id] = tag
        self.website_tags[tag.website_tag_id] = tag.id

    def put_token(self, token: EmulatedToken) -> None:
        self.tokens[token.token] = token

    def app_by_key(self, consumer_key: str) -> EmulatedApp | None:
        return next((app for app in self.apps.values() if app.consumer_key == consumer_key), None)

    def account_of(self, tag: EmulatedEventTag) -> str:
        return self.pixels[tag.pixel].account

    def instrument_of(self, line_item: str) -> EmulatedFundingInstrument:
        campaign = self.campaigns[self.line_items[line_item].campaign]
        return self.funding_instruments[campaign.funding_instrument]

    def fresh_id(self) -> str:
        """Return an unused base-36 id."""
        while True:
            self._serial += 1
            candidate = _base36(self._serial)
            if candidate not in self.events and candidate not in self.website_tags:
                return candidate

    def document(self) -> dict[str, object]:
        return {kind: list(getattr(self, kind).values()) for kind in KINDS}


KINDS: Final[Mapping[str, tuple[type[_Entry], str]]] = {
    "accounts": (EmulatedAccount, "id"),
    "pixels": (EmulatedPixel, "id"),
    "events": (EmulatedEventTag, "id"),
    "funding_instruments": (EmulatedFundingInstrument, "id"),
    "campaigns": (EmulatedCampaign, "id"),
    "line_items": (EmulatedLineItem, "id"),
    "apps": (EmulatedApp, "id"),
    "users": (EmulatedUser, "id"),
    "tokens": (EmulatedToken, "token"),
}


def default_document() -> dict[str, object]:
    """Return the default world, which docs/reference/emulator.md describes."""
    text = Path(__file__).with_name("world.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, object])


def _put(table: dict[str, object], kind: str, entry: object) -> None:
    struct, key_field = KINDS[kind]
    if not isinstance(entry, dict) or not isinstance(entry.get(key_field), str):
        raise EmulatorInputError(f"Each entry of {kind} needs the string {key_field!r}")
    key = entry[key_field]
    known = msgspec.to_builtins(table[key]) if key in table else {}
    try:
        value = msgspec.convert(known | entry, struct)
    except msgspec.ValidationError as error:
        raise EmulatorInputError(f"{kind} {key!r}: {error}") from None
    if isinstance(value, EmulatedAccount):
        _check_zone(value)
    if isinstance(value, EmulatedEventTag) and not value.website_tag_id:
        value = msgspec.structs.replace(value, website_tag_id=value.id)
    table[key] = value


def _check_zone(account: EmulatedAccount) -> None:
    try:
        _ = account.zone
    except (OSError, ValueError, KeyError):
        raise EmulatorInputError(
            f"accounts {account.id!r}: there is no time zone {account.timezone!r}"
        ) from None


def _check_references(merged: Mapping[str, Mapping[str, Struct]]) -> None:
    for kind, field, target in _REFERENCES:
        for key, entry in merged[kind].items():
            if getattr(entry, field) not in merged[target]:
                raise EmulatorInputError(
                    f"{kind} {key!r}: {field} {getattr(entry, field)!r} is not one of the {target}"
                )


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text
