"""Stored results of an ads account: twelve days, the last ones estimates."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from twite.domain.results.account import AdCampaign, ResultsAccount
from twite.domain.results.account_days import days_until
from twite.domain.results.figures import (
    DeliveredEvent,
    EventFigure,
    FigureGroup,
    ResultCell,
    ResultDay,
)
from twite.domain.times import DAY

ACCOUNT = "18ce54d4x5t"
ZONE = ZoneInfo("Europe/Berlin")


def an_account(now: int, **changes: object) -> ResultsAccount:
    fields = {
        "account": ACCOUNT,
        "zone": "Europe/Berlin",
        "campaigns": (
            AdCampaign(id="c1", name="Autumn", currency="EUR"),
            AdCampaign(id="c2", name="=Winter", currency="EUR"),
        ),
        "event_types": {"o8z6k": "PURCHASE", "o8z6m": "SIGN_UP"},
        "hourly_at": now,
        "daily_at": now,
    }
    return ResultsAccount(**fields | changes)


def in_two_currencies(now: int, **changes: object) -> ResultsAccount:
    """Campaign c1 is paid in EUR, and c2 in JPY."""
    return an_account(
        now,
        **changes,
        campaigns=(
            AdCampaign(id="c1", name="Autumn", currency="EUR"),
            AdCampaign(id="c2", name="=Winter", currency="JPY"),
        ),
    )


def some_days(
    now: int, *, count: int = 12, attributed: int = 2, zone: ZoneInfo = ZONE
) -> Sequence[ResultDay]:
    """Each day, campaign c1 has 2 purchases of 40.00 for 10.00, and c2 spends 5.00."""
    return [
        ResultDay.of(day)
        .with_cells(
            [
                _cell("c1", FigureGroup.SPEND, now, spend_micro=10_000_000),
                _cell("c2", FigureGroup.SPEND, now, spend_micro=5_000_000),
                _cell("c2", FigureGroup.CONVERSIONS, now),
                _cell(
                    "c1",
                    FigureGroup.CONVERSIONS,
                    now,
                    events={
                        "PURCHASE": EventFigure(
                            count=attributed, sale_amount=attributed * 40_000_000
                        )
                    },
                ),
            ],
            fetched_at=now,
        )
        .with_delivered([DeliveredEvent(pixel="o8z6j", event="o8z6k", count=20)])
        for day in days_until(now, count, zone)
    ]


def _cell(campaign: str, group: FigureGroup, now: int, **figures: object) -> ResultCell:
    return ResultCell(
        campaign=campaign,
        placement="ALL_ON_TWITTER",
        group=group,
        fetched_at=now - DAY // 24,
        **figures,
    )
