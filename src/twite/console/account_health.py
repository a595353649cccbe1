"""The health of accounts: what each received today and what is wrong with it, the worst first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

import msgspec

from twite.console.render import lasting, number, percent
from twite.console.visible_alerts import ShownCause, alerts_path, anchor_of
from twite.domain.history import ConversionCounts
from twite.domain.stats.tally import FlowCounts
from twite.domain.times import HOUR
from twite.gateway.ports.listing import NONE

# From these shares of refused conversions on, an account has a problem, or an urgent one.
REFUSED_WARNS: Final = 0.01
REFUSED_URGENT: Final = 0.1
# A share of fewer conversions says little.
LEAST_CONVERSIONS: Final = 20
# From this age of the oldest pending conversion on, an account has a problem, or an urgent one.
LATE_WARNS: Final = HOUR
LATE_URGENT: Final = 24 * HOUR
# The name of rejected conversions that name no pixel.
NO_PIXEL: Final = "no pixel"


class Health(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    OK = "ok"
    IDLE = "no traffic"


_ORDER: Final = {health: place for place, health in enumerate(Health)}
TONES: Final[Mapping[Health, str]] = {
    Health.CRITICAL: "bad",
    Health.WARNING: "warn",
    Health.OK: "ok",
    Health.IDLE: "none",
}


class PixelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a pixel received `today`, and its unsettled conversions. `oldest` is the oldest pending.

    `pixel` is "" for rejected conversions that name none.
    """

    pixel: str
    flow_today: FlowCounts
    pending: int = 0
    held: int = 0
    dead: int = 0
    oldest: int | None = None


class HealthReason(msgspec.Struct, frozen=True, kw_only=True):
    """Why an account is not healthy: an open alert, or its figures. `path` shows the affected."""

    text: str
    path: str
    is_urgent: bool
    is_alert: bool = False


class AccountHealth(msgspec.Struct, frozen=True, kw_only=True):
    """An account with its pixels: a row of the first page. `path` is its own overview.

    `filters` are the parameters of the lists of its conversions; None if there is no such list.
    """

    name: str
    path: str
    filters: Mapping[str, str] | None
    figures: Sequence[PixelFigures]
    flow_today: FlowCounts
    reasons: Sequence[HealthReason]
    when: str

    @property
    def pixels(self) -> list[str]:
        return [figures.pixel for figures in self.figures]

    @property
    def refused(self) -> int:
        """Conversions refused today, by X or at intake."""
        return self.flow_today.dead + self.flow_today.rejected

    @property
    def pending(self) -> int:
        return sum(figures.pending for figures in self.figures)

    @property
    def held(self) -> int:
        return sum(figures.held for figures in self.figures)

    @property
    def dead(self) -> int:
        return sum(figures.dead for figures in self.figures)

    @property
    def oldest(self) -> int | None:
        return min((figures.oldest for figures in self.figures if figures.oldest), default=None)

    @property
    def health(self) -> Health:
        if self.reasons:
            is_urgent = any(reason.is_urgent for reason in self.reasons)
            return Health.CRITICAL if is_urgent else Health.WARNING
        return Health.OK if self.flow_today.received or self.flow_today.delivered else Health.IDLE

    @property
    def tone(self) -> str:
        return TONES[self.health]

    @property
    def row_id(self) -> str:
        return f"account-{'-'.join(self.name.split())}"

    @property
    def rank(self) -> tuple[float | str, ...]:
        """The place of the account: the worst first, by health, alerts, refusals, age and held."""
        conversions = self.flow_today.conversions
        share = self.refused / conversions if conversions else 0
        return (
            _ORDER[self.health],
            -len(self.reasons),
            -share,
            self.oldest or float("inf"),
            -self.held,
            self.name,
        )

    def listing(self, state: str = "", *, is_today: bool = False) -> str:
        """Return the list of its conversions in a state; "" if there is none."""
        if self.filters is None:
            return ""
        return listing_path(state, **self.filters, when=self.when if is_today else "")


def listing_path(
    state: str = "", *, account: str = "", pixel: str = "", source: str = "", when: str = ""
) -> str:
    """Return the URL of a list of conversions. `when` is the part of the URL about time."""
    fields = {"state": state, "account": account, "pixel": pixel, "source": source}
    query = urlencode({name: value for name, value in fields.items() if value})
    query = "&".join(part for part in (query, when) if part)
    return "/console/conversions" + (f"?{query}" if query else "")


class CountedRow(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions of a source, of a pixel, or of a source for a pixel; "" for all.

    Templates show them with `count_parts.html`.
    """

    counts: ConversionCounts
    in_source: str = ""
    in_pixel: str = ""

    def listing(self, state: str = "") -> str:
        """Return the list of these conversions in a state, or in all."""
        return listing_path(state, pixel=self.in_pixel, source=self.in_source)


def health_of(
    figures: Iterable[PixelFigures],
    causes: Iterable[ShownCause],
    *,
    now: int,
    name_of: Callable[[str], str],
    path_of: Callable[[str, Sequence[str]], str],
    when: str,
) -> list[AccountHealth]:
    """Return accounts, the worst first.

    `name_of` maps a pixel to its account, and `path_of` an account with its pixels to its page.
    Alerts that users have acknowledged or muted count no more. `when` is today, in URLs.
    """
    causes = [cause for cause in causes if not cause.is_quiet and cause.rule.about_pixel]
    accounts: dict[str, list[PixelFigures]] = {}
    for each in figures:
        accounts.setdefault(name_of(each.pixel), []).append(each)
    made = []
    for name, own in accounts.items():
        pixels = [each.pixel for each in own]
        account = AccountHealth(
            name=name,
            path=path_of(name, pixels),
            filters=list_filters(name, pixels),
            figures=own,
            flow_today=added_flows(each.flow_today for each in own),
            reasons=(),
            when=when,
        )
        reasons = [*_alerts(causes, account), *_problems(account, now)]
        made.append(msgspec.structs.replace(account, reasons=reasons))
    return sorted(made, key=lambda account: account.rank)


def list_filters(account: str, pixels: Sequence[str]) -> Mapping[str, str]:
    """Return what lists the conversions of some pixels. The pixel "" is that of rejections."""
    return {"account": account} if len(pixels) > 1 else {"pixel": pixels[0] or NONE}


def added_flows(flows: Iterable[FlowCounts]) -> FlowCounts:
    """Return the sum of traffic. Its `at` is 0."""
    sums = dict.fromkeys(FlowCounts.__struct_fields__[1:], 0)
    for flow in flows:
        for name in sums:
            sums[name] += getattr(flow, name)
    return FlowCounts(at=0, **sums)


def _alerts(causes: Sequence[ShownCause], account: AccountHealth) -> Iterable[HealthReason]:
    pixels = account.pixels
    for cause in causes:
        mine = [alert for alert in cause.cause.alerts if alert.subject in pixels]
        if mine:
            of = f" ({number(len(mine))} of {len(pixels)} pixels)" if len(pixels) > 1 else ""
            title = cause.rule.title
            yield HealthReason(
                text=f"{title[:1].upper()}{title[1:]}{of}",
                path=f"{alerts_path(account.filters or {})}#{anchor_of(mine[0])}",
                is_urgent=cause.rule.urgent,
                is_alert=True,
            )


def _problems(account: AccountHealth, now: int) -> Iterable[HealthReason]:
    today, refused = account.flow_today, account.refused
    share = refused / today.conversions if today.conversions >= LEAST_CONVERSIONS else 0
    # Those that X refused and rejected ones are in two lists.
    for count, state, what in (
        (today.dead, "dead", "refused by X today"),
        (today.rejected, "rejected", "rejected today"),
    ):
        if share >= REFUSED_WARNS and count:
            yield HealthReason(
                text=f"{percent(count, today.conversions)} {what}",
                path=account.listing(state, is_today=True),
                is_urgent=share >= REFUSED_URGENT,
            )
    waits = now - account.oldest if account.oldest else 0
    if waits >= LATE_WARNS:
        yield HealthReason(
            text=f"Oldest pending for {lasting(waits)}",
            path=account.listing("pending"),
            is_urgent=waits >= LATE_URGENT,
        )
    if account.held:
        yield HealthReason(
            text=f"{number(account.held)} held", path=account.listing("held"), is_urgent=False
        )
