"""The stored results of ads accounts: one record for each account, and one for each of its days.

A large account has thousands of figures a day (3 ms to decode), so that days are decoded and
written one by one: the event loop and the store's writer have time for others in between.
"""

import asyncio
from collections.abc import Iterable
from itertools import groupby
from os.path import commonprefix
from typing import Final

import msgspec

from twite.domain.results.account import ResultsAccount
from twite.domain.results.account_days import AccountDay
from twite.domain.results.figures import ResultDay
from twite.gateway.ports.state import StateReader, StateStore, XResultRecord

_ACCOUNTS: Final = "account/"


async def load_account(state: StateReader, account: str) -> ResultsAccount:
    """Return an account, which is new if nothing is stored. Raises LedgerUnavailable."""
    return _account(account, await _load(state, _account_name(account)))


async def load_accounts(state: StateReader, accounts: Iterable[str]) -> list[ResultsAccount]:
    """Return accounts, in their order, by one read. Raises LedgerUnavailable."""
    records = await state.load(XResultRecord, prefix=_ACCOUNTS)
    texts = {record.name: record.state for record in records}
    return [_account(account, texts.get(_account_name(account))) for account in accounts]


async def load_days(
    state: StateReader, account: str, days: Iterable[AccountDay]
) -> list[ResultDay]:
    """Return those of some days that are stored, in their order. Raises LedgerUnavailable."""
    names = dict.fromkeys(_day_name(account, day.day) for day in days)
    found: dict[str, ResultDay] = {}
    # One read for a month at most: a page asks for one or more of each account.
    for _, month in groupby(names, key=lambda name: name[: -len("-01")]):
        prefix = commonprefix(list(month))  # noqa: RUF071  texts, not paths
        for record in await state.load(XResultRecord, prefix=prefix):
            if record.name in names:
                found[record.name] = msgspec.json.decode(record.state, type=ResultDay)
                await asyncio.sleep(0)
    return [found[name] for name in names if name in found]


async def load_day(state: StateReader, account: str, day: str) -> ResultDay | None:
    """Return a day if it is stored. Raises LedgerUnavailable."""
    text = await _load(state, _day_name(account, day))
    return None if text is None else msgspec.json.decode(text, type=ResultDay)


async def put_account(state: StateStore, account: ResultsAccount) -> None:
    name = _account_name(account.account)
    await state.put([XResultRecord(name=name, state=_text(account))])


async def put_days(state: StateStore, account: str, days: Iterable[ResultDay]) -> None:
    for day in days:
        await state.put([XResultRecord(name=_day_name(account, day.day), state=_text(day))])


async def forget_days(state: StateStore, account: str, days: Iterable[AccountDay]) -> None:
    """Delete days, if they are stored."""
    await state.delete(XResultRecord, *(_day_name(account, day.day) for day in days))


async def _load(state: StateReader, name: str) -> str | None:
    records = await state.load(XResultRecord, prefix=name)
    return next((record.state for record in records if record.name == name), None)


def _account(account: str, text: str | None) -> ResultsAccount:
    if text is None:
        return ResultsAccount(account=account)
    return msgspec.json.decode(text, type=ResultsAccount)


def _account_name(account: str) -> str:
    return f"{_ACCOUNTS}{account}"


def _day_name(account: str, day: str) -> str:
    return f"day/{account}/{day}"


def _text(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
