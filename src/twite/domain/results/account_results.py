"""The shapes of the report of results, as the API, commands and console show it."""

import msgspec


class EventResult(msgspec.Struct, frozen=True, kw_only=True):
    """An event type in a time. A figure that nobody has is null, which is not 0.

    `delivered` counts the conversions that Twite delivered, of those received in the time;
    `click_id_share` and `email_only_share` are shares of them, from 0 to 1. `attributed` and
    `sale_amount` are X's; `cost_per_conversion` is spend by attributed conversions, rounded.
    Spend and sale amounts are exact, up to millionths: parts add up to their total. Amounts are in
    the currency of what the event type is a part of, and null if it has several. X does not
    document how `sale_amount` counts orders in another currency.
    """

    event_type: str
    delivered: int | None = None
    click_id_share: float | None = None
    email_only_share: float | None = None
    attributed: int | None = None
    sale_amount: str | None = None
    cost_per_conversion: str | None = None
    return_on_ad_spend: float | None = None


class EventDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """A part of `delivered` of an event type: the conversions of one event (X's id) of a pixel.

    They were received in `since <= time < until` (ms).
    """

    event_type: str
    pixel: str
    event: str
    delivered: int
    since: int
    until: int


class CampaignResult(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign in a time, and its currency, "" if unknown. Deliveries have no campaign."""

    campaign: str
    name: str
    currency: str
    spend: str | None
    events: tuple[EventResult, ...]


class CurrencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """The campaigns of one currency in a time. Deliveries have no campaign."""

    currency: str
    spend: str | None
    events: tuple[EventResult, ...]


class DayResult(msgspec.Struct, frozen=True, kw_only=True):
    """A day of the account's time zone.

    X's figures of a day that was not `fetched` are missing, or are a part. X may still change an
    `estimate`. `spend_final` is false while X may correct the spend. If the account has several
    currencies, `spend` is null, and `by_currency` has the amounts of each.
    """

    day: str
    fetched: bool
    estimate: bool
    spend_final: bool
    fetched_at: str | None
    spend: str | None
    events: tuple[EventResult, ...]
    by_currency: tuple[CurrencyResult, ...] = ()
    deliveries: tuple[EventDeliveries, ...]
    campaigns: tuple[CampaignResult, ...]


class PeriodTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of some days, from the first to the last; `by_currency` is as in DayResult.

    X's figures are those of `fetched_days` of the `days`, of which `estimated_days` are estimates.
    """

    first: str
    last: str
    days: int
    fetched_days: int
    estimated_days: int
    spend: str | None
    events: tuple[EventResult, ...]
    by_currency: tuple[CurrencyResult, ...] = ()
    deliveries: tuple[EventDeliveries, ...]


class AccountResults(msgspec.Struct, frozen=True, kw_only=True):
    """The results of an account. `currency` is "" if its campaigns with figures have several.

    Amounts in several currencies are never added up: see `by_currency`.

    `total` contains today, which is not over. For a comparison, `finished_total` is that of as many
    days up to yesterday, and `previous_total` that of as many days before these; both are null
    unless all these days were fetched after their ends. `total_before_cut_over` and
    `total_after_cut_over` are those of the parts of the report's days, if the cut-over is among
    them. `problem` is why X's figures could not be fetched.
    """

    account: str
    timezone: str
    currency: str
    fetched_at: str | None
    problem: str
    cut_over: str | None
    total: PeriodTotal | None
    finished_total: PeriodTotal | None
    previous_total: PeriodTotal | None
    total_before_cut_over: PeriodTotal | None
    total_after_cut_over: PeriodTotal | None
    campaigns: tuple[CampaignResult, ...]
    days: tuple[DayResult, ...]
