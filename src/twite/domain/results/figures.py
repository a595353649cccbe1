"""Figures of X's analytics, as they are stored: one record per account and day.

A cell holds what one request returned of one campaign, so that a later answer replaces an earlier
one, and no figure is added twice. A figure that X did not serve is None, which is not 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from twite.domain.results.account_days import AccountDay
from twite.domain.times import DAY, HOUR

# X's figures are estimates until they are this old; spend is final later. [doc CM]
SETTLED_AFTER: Final = DAY
SPEND_FINAL_AFTER: Final = 3 * DAY


_T = TypeVar("_T", int, float)


class FigureGroup(StrEnum):
    """X's groups of metrics that are asked for together."""

    CONVERSIONS = "conversions"
    SPEND = "spend"


class EventFigure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What X attributes of one event type. X does not document the unit of `sale_amount`."""

    count: int | None = None
    sale_amount: float | int | None = None
    order_quantity: int | None = None

    @classmethod
    def of(cls, figures: Sequence["EventFigure"]) -> "EventFigure":
        """Add up the parts of one whole."""
        if len(figures) == 1:  # usual in a report: a campaign on a day
            return figures[0]
        return cls(
            count=added(part.count for part in figures),
            sale_amount=added(part.sale_amount for part in figures),
            order_quantity=added(part.order_quantity for part in figures),
        )


class ResultCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The figures of a campaign, placement and group on one day.

    `fetched_at` is in milliseconds. `events` has the event types that X served; `spend_micro` is in
    millionths of the campaign's currency. `is_omitted`: X's last answer did not contain the
    campaign, so that the figures, if any, are those of an earlier answer.
    """

    campaign: str
    placement: str
    group: FigureGroup
    fetched_at: int
    events: Mapping[str, EventFigure] = {}
    spend_micro: int | None = None
    is_omitted: bool = False

    @property
    def key(self) -> tuple[str, str, FigureGroup]:
        return self.campaign, self.placement, self.group


class DeliveredEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many conversions of an event (X's id) Twite delivered, of those received in a time.

    The match keys of `known` of them are known: `click` have a click id, and `email_only` an email
    and no click id. The store keeps identifiers only for some days.
    """

    pixel: str
    event: str
    count: int
    known: int = 0
    click: int = 0
    email_only: int = 0

    def plus(self, other_event: "DeliveredEvent") -> "DeliveredEvent":
        """Return the sum with the deliveries of another time."""
        return DeliveredEvent(
            pixel=self.pixel,
            event=self.event,
            count=self.count + other_event.count,
            known=self.known + other_event.known,
            click=self.click + other_event.click,
            email_only=self.email_only + other_event.email_only,
        )

    def at_least(self, other_event: "DeliveredEvent") -> "DeliveredEvent":
        """Return the higher counts of two times: they only fall because the store forgets."""
        return DeliveredEvent(
            pixel=self.pixel,
            event=self.event,
            count=max(self.count, other_event.count),
            known=max(self.known, other_event.known),
            click=max(self.click, other_event.click),
            email_only=max(self.email_only, other_event.email_only),
        )


class ResultDay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One day of an account. `fetched_at` (ms) is 0 until X's figures were fetched.

    `is_active`: X listed a campaign whose figures changed on the day.
    `delivered` is None if nobody has counted, and the store no longer has the day's conversions.
    """

    day: str
    start: int
    end: int
    fetched_at: int = 0
    cells: tuple[ResultCell, ...] = ()
    is_active: bool = False
    delivered: tuple[DeliveredEvent, ...] | None = None

    @classmethod
    def of(cls, day: AccountDay) -> "ResultDay":
        return cls(day=day.day, start=day.start, end=day.end)

    def has_limits_of(self, day: AccountDay) -> bool:
        """Return whether both are the same hours: time zones of accounts change."""
        return (self.start, self.end) == (day.start, day.end)

    @property
    def is_settled(self) -> bool:
        """Whether the figures of conversions were final, of the campaigns that X did not omit."""
        return self.fetched_at >= self.end + SETTLED_AFTER

    @property
    def is_estimate(self) -> bool:
        """Whether the figures of conversions may still change."""
        return not self.is_settled or self._has_omitted

    @property
    def is_spend_final(self) -> bool:
        return self.fetched_at >= self.end + SPEND_FINAL_AFTER and not self._has_omitted

    @property
    def _has_omitted(self) -> bool:
        # X documents null for nothing, and no answer without a campaign that was asked for.
        return any(cell.is_omitted for cell in self.cells)

    def with_cells(self, cells: Iterable[ResultCell], *, fetched_at: int) -> "ResultDay":
        """Return the day with newer cells in place of older ones.

        Figures that an answer omits are kept, but are not final.
        """
        found = {cell.key: cell for cell in self.cells}
        for cell in cells:
            known = found.get(cell.key, cell)
            found[cell.key] = (
                msgspec.structs.replace(known, is_omitted=True) if cell.is_omitted else cell
            )
        return msgspec.structs.replace(
            self, cells=tuple(found.values()), fetched_at=max(fetched_at, self.fetched_at)
        )

    def with_delivered(self, delivered: Sequence[DeliveredEvent]) -> "ResultDay":
        """Return the day with newer counts. A count never falls: old conversions are pruned."""
        counts = {(each.pixel, each.event): each for each in self.delivered or ()}
        for each in delivered:
            key = each.pixel, each.event
            counts[key] = each.at_least(counts.get(key, each))
        return msgspec.structs.replace(
            self, delivered=tuple(counted for _, counted in sorted(counts.items()))
        )


def days_behind(days: Iterable[ResultDay], *, now: int) -> int:
    """Return how many days have ended without a fetch since, two hourly fetches ago at least."""
    ended = [day for day in days if day.end < now - 2 * HOUR]
    return sum(day.fetched_at < day.end for day in ended)


class AttributedSum(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of several cells; None if X served none of them."""

    events: Mapping[str, EventFigure] = {}
    spend_micro: int | None = None

    @classmethod
    def of(cls, parts: "Iterable[ResultCell | AttributedSum]") -> "AttributedSum":
        """Add up the placements, campaigns and days of one whole: cells, or sums of cells."""
        events: dict[str, list[EventFigure]] = {}
        spend: list[int | None] = []
        for part in parts:
            spend.append(part.spend_micro)
            for event_type, figure in part.events.items():
                events.setdefault(event_type, []).append(figure)
        return cls(
            events={event_type: EventFigure.of(own) for event_type, own in events.items()},
            spend_micro=added(spend),
        )

    def figure(self, event_type: str) -> EventFigure:
        return self.events.get(event_type, EventFigure())


def added(figures: Iterable[_T | None]) -> _T | None:
    """Add up figures. A missing one adds nothing, and the sum of missing ones is missing."""
    known = [figure for figure in figures if figure is not None]
    return sum(known[1:], known[0]) if known else None
