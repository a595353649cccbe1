"""The settings of `twite.toml`: all tables, with their keys, types, defaults and meanings.

`server_tables` describes the tables from `[server]` to `[log]`; the others are here. Features add
tables of their own. `pixels` checks rules that involve more than one key.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final, Literal

import msgspec

from twite.config import values
from twite.config.exports import ExportTargetTable
from twite.config.feature_tables import FeatureTables
from twite.config.kinds import (
    REQUIRED,
    Choice,
    Flag,
    ListOf,
    Number,
    Setting,
    Table,
    Tables,
    Text,
    TimeWithZone,
    duration,
    setting,
    table,
)
from twite.config.results_table import ResultsSettings
from twite.config.server_tables import (
    ALERTS,
    AlertSettings,
    ConsoleSettings,
    LogSettings,
    ServerSettings,
    StoreSettings,
    XSettings,
)
from twite.config.syncs import SyncTable
from twite.config.trace_table import TraceSettings
from twite.config.value_rules import ValueRuleTable, ValueTableTable
from twite.config.webhooks import WEBHOOK, WrittenWebhook
from twite.domain.consent import EEA, ConsentAction, ConsentPolicy
from twite.domain.destination import DEFAULT_DAYS, ClickCookie
from twite.domain.errors import SettingsError
from twite.domain.joins import LONGEST_WAIT
from twite.domain.secret import Secret
from twite.domain.stats.value_guard import ValueGuard
from twite.features import contributed

COOKIE: Final = Table(
    ClickCookie,
    {
        "names": Setting(
            ["_twite"],
            "names of the cookies that store the click id",
            ListOf(Choice(("_twite", "_twclid", "twclid")), distinct="name"),
        ),
        "days": Setting(
            DEFAULT_DAYS, "lifetime of these cookies in days, after the click", Number(1, 400)
        ),
        "http_only": Setting(
            default=False, meaning="whether to hide these cookies from scripts", kind=Flag()
        ),
        "client_id": Setting(
            default=True,
            meaning="whether responses to Stape's Data Tag store its client id",
            kind=Flag(),
        ),
        "fpid": Setting(
            "off",
            "whether responses to GA4 hits set Google's cookie `FPID`, and tags read its client id",
            Choice(("off", "new", "migrate")),
        ),
    },
)
FEATURES: Final = tuple(contributed("settings", FeatureTables))


class AuthTable(msgspec.Struct, frozen=True, kw_only=True):
    """`pixel_token`, or the four parts of OAuth 1.0a; or both, while a pixel moves to the token."""

    pixel_token: Secret | None = setting(None, "the pixel's token")
    consumer_key: str | None = setting(None, "OAuth 1.0a: the app's key")
    consumer_secret: Secret | None = setting(None, "the app's secret")
    token: str | None = setting(None, "the user's token")
    token_secret: Secret | None = setting(None, "the user's token secret")


class PixelTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[[pixel]]`."""

    id: str = setting(
        REQUIRED,
        "the event source's id in X's Events Manager",
        Text(partial(values.x_id, what="a pixel id")),
    )
    events: Mapping[str, str] = setting(REQUIRED, "your name for an event → X's id")
    auth: AuthTable | None = setting(
        None,
        "Events Manager, Install Pixel, Manual, Conversion API, Generate access token; or the keys "
        "of an app that X has approved for the Ads API; or leave it out, and run `twite login`",
        example={
            "consumer_key": "env:X_CONSUMER_KEY",
            "consumer_secret": "env:X_CONSUMER_SECRET",
            "token": "env:X_TOKEN",
            "token_secret": "env:X_TOKEN_SECRET",
        },
    )
    account: str | None = setting(
        None,
        "the ads account; pixels of one account share its rate limit",
        Text(partial(values.x_id, what="an account")),
        example="18ce54d4x5t",
    )
    on_ambiguous: Literal["resend", "hold"] = setting(
        "resend", "what to do if X may already have a conversion"
    )
    value_guard: ValueGuard = setting("flag", "how to treat unusual amounts")


def _action(*words: str) -> Choice:
    """Return the choice of one of these consent actions; `ignore` becomes None."""
    return Choice(words, lambda word: None if word == "ignore" else ConsentAction(word))


def _regions(text: str, place: str) -> frozenset[str]:
    return EEA if text == "EEA" else frozenset({values.region(text, place)})


def _required_purposes(purposes: tuple[int, ...], place: str) -> tuple[int, ...]:
    if not purposes:
        raise SettingsError(
            place, "without a purpose, every TC string would count as consent. Write [1, 7]"
        )
    return purposes


CONSENT_POLICY: Final = Table(
    ConsentPolicy,
    {
        "storage_denied": Setting(
            "suppress",
            "what to do if `ad_storage` or TCF purpose 1 is denied",
            _action("suppress", "strip"),
        ),
        "user_data_denied": Setting(
            "suppress",
            "what to do if `ad_user_data` or another required TCF purpose is denied",
            _action("suppress", "strip"),
        ),
        "personalization_denied": Setting(
            "restrict",
            "what to do if `ad_personalization` is denied",
            _action("restrict", "suppress", "send"),
        ),
        "us_opt_out": Setting(
            "suppress",
            "what to do after an opt-out by `gpc`, `usp` or a United States section of `gpp`",
            _action("suppress", "restrict"),
        ),
        "unclear": Setting(
            "suppress",
            "what to do if signals are unknown or unreadable",
            _action("suppress", "hold", "ignore"),
        ),
        "missing": Setting(
            "suppress", "what to do if required signals are missing", _action("suppress", "hold")
        ),
        "strict_regions": Setting(
            ["EEA", "GB", "CH"],
            "countries (ISO 3166) where consent is required",
            ListOf(Text(_regions), lambda parts, _: frozenset().union(*parts)),
        ),
        "tcf_purposes": Setting(
            [1, 7],
            "TCF purposes that a TC string must allow",
            ListOf(Number(1, 24), _required_purposes, "purpose"),
        ),
        "tcf_optimization_purposes": Setting(
            [3, 4],
            "if consent to any of these purposes is missing, Twite asks X to restrict data use",
            ListOf(Number(1, 24), distinct="purpose"),
        ),
        "tcf_vendor_id": Setting(
            None,
            "X's id in the Global Vendor List, if you know it",
            Number(1, 65_535),
            example=1234,
        ),
        "ac_provider_id": Setting(
            None,
            "X's id in Google's list of ad technology providers",
            Number(1, 999_999_999),
            example=1234,
        ),
        "cmp_vendor": Setting(None, "your consent platform's name for X", Text(), example="x"),
        "segment_categories": Setting(
            [],
            "the consent categories of Segment's API that mean advertising",
            ListOf(Text(), distinct="category"),
            example=["advertising"],
        ),
    },
)


class SourceTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[[source]]`."""

    name: str = setting(
        REQUIRED,
        "name of the source in the balance and the log",
        Text(partial(values.name, what="a source")),
    )
    pixel: str = setting(REQUIRED, "the pixel that receives the source's conversions by default")
    key: Secret | None = setting(None, "the secret that servers send as `Authorization: Bearer …`")
    origins: tuple[str, ...] = setting(
        [],
        "origins of pages that may post without a key",
        ListOf(Text(values.origin)),
        example=["https://shop.example"],
    )
    write_key: str | None = setting(
        None,
        "a second key, which is public: for Segment's SDKs in pages",
        Text(values.write_key),
        example="shop-pages",
    )
    pixels: tuple[str, ...] = setting(
        [], "additional pixels that the source's conversions may name"
    )
    consent: Literal["optional", "required"] = setting(
        "optional", '`"required"` sends nothing without the person\'s consent'
    )
    consent_policy: ConsentPolicy = setting({}, "", CONSENT_POLICY)
    region: str | None = setting(
        None,
        'the country (ISO 3166, such as `"GB"`) of phone numbers without a country code',
        Text(values.region),
        example="GB",
    )
    events: Mapping[str, str] = setting(
        {},
        "maps events of tags to your events",
        example={"form_submit": "lead", "scroll": "ignore"},
    )
    cookie: ClickCookie = setting({}, "", COOKIE)
    browser_value_limit: Decimal | None = setting(
        None, "the highest amount accepted from a page", Text(values.worth), example="500"
    )
    browser_rate: int | None = setting(
        None,
        "maximum number of requests per hour from all pages of the source",
        Number(1, 1_000_000_000),
        example=100_000,
    )
    wait: int = setting(
        "0s",
        "how long conversions wait for identifiers from other events of the visitor, up to 6 hours",
        duration(0, LONGEST_WAIT),
        example="10m",
    )
    keep_click_ids: tuple[str, ...] = setting(
        [],
        "click ids of other networks that the script keeps in cookies, for tags",
        ListOf(Text(values.click_parameter), distinct="parameter"),
        example=["gclid", "fbclid"],
    )
    x_pixel: Literal["use", "load", "off"] = setting("use", "whether the script calls X's pixel")
    value_guard: ValueGuard | None = setting(
        None, "overrides the pixel's `value_guard` for this source", example="flag"
    )
    stape_credentials: Literal["configured", "stored", "passing"] = setting(
        "configured", "how to treat the credentials in requests from Stape's X tag"
    )
    test_until: int | None = setting(
        None,
        "until this time, conversions go to the built-in emulator, and never to X",
        TimeWithZone(),
        example="2026-12-02T18:00:00Z",
    )


class SettingsFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `twite init` writes each sentence above its table.

    `added` has the tables of each feature.
    """

    server: ServerSettings = setting({}, "")
    store: StoreSettings = setting({}, "")
    x: XSettings = setting({}, "")
    alerts: AlertSettings = setting({}, "", ALERTS)
    console: ConsoleSettings = setting({}, "")
    log: LogSettings = setting({}, "")
    traces: TraceSettings = setting({}, "")
    results: ResultsSettings = setting({}, "")
    pixel: tuple[PixelTable, ...] = setting([], "One table for each pixel")
    source: tuple[SourceTable, ...] = setting(
        [], "One table for each client that may submit conversions"
    )
    webhook: tuple[WrittenWebhook, ...] = setting(
        [],
        "One table for each shop or payment service that posts to `/webhooks/NAME`",
        Tables(WEBHOOK),
    )
    sync: tuple[SyncTable, ...] = setting(
        [], "One table for each database query or object storage whose new rows Twite sends"
    )
    value_rule: tuple[ValueRuleTable, ...] = setting(
        [], "One table for each rule that replaces amounts"
    )
    value_table: tuple[ValueTableTable, ...] = setting(
        [], "One table for each CSV file that value rules read"
    )
    export: tuple[ExportTargetTable, ...] = setting(
        [], "One table for each database or object storage that gets the state of each conversion"
    )
    added: tuple[msgspec.Struct, ...] = ()


def _file(**tables: Any) -> SettingsFile:  # noqa: ANN401  # the structs of tables
    added = tuple(
        feature.tables(**{name: tables.pop(name) for name in table(feature.tables).fields})
        for feature in FEATURES
    )
    return SettingsFile(added=added, **tables)


def _fields() -> Iterator[tuple[str, Setting]]:
    """Yield the tables of the gateway and of its features, in the order of `twite init`."""
    added = [(feature.before, table(feature.tables).fields) for feature in FEATURES]
    for name, field in table(SettingsFile).fields.items():
        for before, fields in added:
            yield from (pair for pair in fields.items() if before.get(pair[0]) == name)
        yield name, field
    for before, fields in added:
        yield from (pair for pair in fields.items() if pair[0] not in before)


ROOT: Final = Table(_file, dict(_fields()))
