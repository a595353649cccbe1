"""What X's statistics finally contain: the truth that tests compare with what a client read."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from twite_emulator.analytics.figures import BucketFigures, served
from twite_emulator.analytics.metrics import CONVERSION_METRICS
from twite_emulator.analytics.periods import day_of
from twite_emulator.analytics.query import entity_ids
from twite_emulator.exchange import EmulatorInputError
from twite_emulator.state import EmulatedState


def truth(pairs: Mapping[str, str], state: EmulatedState) -> dict[str, object]:
    """Return a row for each day and line item with figures.

    `pairs` selects an `account`, and days from `since` to `until`, both included. Days are those of
    the account's time zone.
    """
    account = pairs.get("account") or next(iter(state.world.accounts))
    if account not in state.world.accounts:
        raise EmulatorInputError(f"There is no account {account!r}")
    since, until = _date(pairs, "since", date.min), _date(pairs, "until", date.max)
    zone = state.world.accounts[account].zone
    days: dict[tuple[date, str], BucketFigures] = defaultdict(BucketFigures)
    for line_item in entity_ids("LINE_ITEM", account, state.world):
        for entry in served([line_item], state, at=None):
            day = day_of(entry.at, zone)
            if since <= day <= until:
                days[day, line_item].add(entry)
    return {
        "account": account,
        "timezone": state.world.accounts[account].timezone,
        "rows": [
            {
                "day": day,
                "campaign": state.world.line_items[line_item].campaign,
                "line_item": line_item,
                "currency": state.world.instrument_of(line_item).currency,
                "clicks": figures.clicks,
                "impressions": figures.impressions,
                "spend_micro": figures.spend_micros,
                "events": {
                    kind: {
                        "attributed": figures.events[metric].count,
                        "sale_amount_micro": figures.events[metric].micros,
                        "order_quantity": figures.events[metric].items,
                    }
                    for kind, metric in CONVERSION_METRICS.items()
                    if metric in figures.events
                },
            }
            for (day, line_item), figures in sorted(days.items())
        ],
    }


def _date(pairs: Mapping[str, str], name: str, default: date) -> date:
    try:
        return date.fromisoformat(pairs[name]) if pairs.get(name) else default
    except ValueError:
        raise EmulatorInputError(f"{name!r} must be a date, such as 2026-11-01") from None
