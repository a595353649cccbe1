"""The table `[results]`."""

import datetime as dt
import re
from typing import Final

import msgspec

from twite.config.kinds import Number, Text, setting
from twite.domain.errors import SettingsError
from twite.domain.results.sale_amounts import SaleAmountUnit

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _day(text: str, place: str) -> str:
    try:
        if _DAY.fullmatch(text):
            return dt.date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise SettingsError(place, f"{text!r} is not a day. Write it as 2026-11-24")


class ResultsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """X's results of the ads accounts for which a user has signed in."""

    fetch: bool = setting(
        default=True, meaning="whether the gateway fetches X's results every hour"
    )
    history: int = setting(30, "how many days the first fetch covers; 0 to 90", Number(0, 90))
    sale_amount_unit: SaleAmountUnit = setting(
        "micro",
        "the unit of X's sale amounts, which X does not document: millionths (`micro`), hundredths "
        "(`minor`) or `money`",
    )
    cut_over: str | None = setting(
        None,
        "the day from which the gateway sends; by default, that of its first conversion",
        Text(_day),
        example="2026-11-24",
    )
