"""The ads of the demo's shop at the emulated X: two campaigns, what they cost, and their clicks."""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from twite.domain.times import HOUR, SECOND, moment
from twite_emulator.process import Emulator, Json

# The click of somebody who opens the shop with the address that the demo prints.
OWN_CLICK: Final = "2-demo3k9x0abcd1efgh2ijkl3"
_CAMPAIGNS: Final[list[Json]] = [
    {"id": "8wku2", "funding_instrument": "lygyi", "name": "Mugs for autumn"},
    {"id": "8wku3", "funding_instrument": "lygyi", "name": "Gifts for winter"},
]
_LINE_ITEMS: Final[list[Json]] = [
    {"id": "itttx", "campaign": "8wku2", "primary_web_event_tag": "o8z6k"},
    {"id": "ittty", "campaign": "8wku3", "primary_web_event_tag": "o8z6k"},
]
# The spend of each line item on a day, in millionths of a euro.
_SPEND: Final = {"itttx": 18_400_000, "ittty": 6_250_000}
_SPENT_DAYS: Final = 14
_ZONE: Final = ZoneInfo("Europe/London")  # of the emulator's account
# One in so many buyers has clicked an ad.
_CLICKED: Final = 3


def advertise(emulator: Emulator) -> None:
    """Plant two campaigns that have spent every day."""
    today = dt.datetime.now(_ZONE).date()
    spend: list[Json] = [
        {
            "line_item": item,
            "day": (today - dt.timedelta(days=ago)).isoformat(),
            "micros": micros + ago * 10_000,
        }
        for item, micros in _SPEND.items()
        for ago in range(_SPENT_DAYS)
    ]
    emulator.add(campaigns=_CAMPAIGNS, line_items=_LINE_ITEMS)
    emulator.plant(spend=spend)


def click_ads(
    emulator: Emulator, buyers: Sequence[Mapping[str, str]], older: Sequence[Mapping[str, str]]
) -> None:
    """Plant clicks on the ads, an hour before some of the orders.

    `buyers` are the rows of those who order in a moment, and `older` of earlier orders.
    """
    now = int(time.time() * SECOND)
    clicks = [(OWN_CLICK, now - HOUR)]
    clicks += [(row["twclid"], now - HOUR) for row in buyers[::_CLICKED]]
    for row in older[::_CLICKED]:
        ordered = moment(row.get("created_at", ""), now=now, path="created_at")
        if isinstance(ordered, int):
            clicks.append((row["twclid"], ordered - HOUR))
    items = list(_SPEND)
    emulator.plant(
        clicks=[
            {"line_item": items[place % len(items)], "twclid": twclid, "at": at / SECOND}
            for place, (twclid, at) in enumerate(clicks)
        ]
    )
