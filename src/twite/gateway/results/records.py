"""The stored results of ads accounts: one record for each account, and one for each of its days."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from twite.domain.results.account import ResultsAccount
from twite.domain.results.figures import ResultDay
from twite.gateway.ports.state import StateReader, StateStore, XResultRecord

# How many days are kept: a year, and the same weeks of the year before.
KEPT_DAYS: Final = 430


async def load_account(state: StateReader, account: str) -> ResultsAccount:
    """Return an account, which is new if nothing is stored. Raises LedgerUnavailable."""
    name = f"{account}/"
    for record in await state.load(XResultRecord, prefix=name):
        if record.name == name:
            return msgspec.json.decode(record.state, type=ResultsAccount)
    return ResultsAccount(account=account)


async def load_days(state: StateReader, account: str, *, since: str = "") -> list[ResultDay]:
    """Return the days of an account in order, from the day `since` on. Raises LedgerUnavailable."""
    name = f"{account}/"
    records = await state.load(XResultRecord, prefix=name)
    return [
        msgspec.json.decode(record.state, type=ResultDay)
        for record in records
        if record.name != name and record.name.removeprefix(name) >= since
    ]


async def put_account(state: StateStore, account: ResultsAccount) -> None:
    await state.put([XResultRecord(name=f"{account.account}/", state=_text(account))])


async def put_days(state: StateStore, account: str, days: Iterable[ResultDay]) -> None:
    await state.put([XResultRecord(name=_name(account, day.day), state=_text(day)) for day in days])


async def forget_days(state: StateStore, account: str, days: Sequence[ResultDay]) -> None:
    """Delete the oldest days of an account that are too many."""
    old = [_name(account, day.day) for day in days[:-KEPT_DAYS]]
    if old:
        await state.delete(XResultRecord, *old)


def _name(account: str, day: str) -> str:
    return f"{account}/{day}"


def _text(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
