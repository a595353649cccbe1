"""`twite accounting`: the balance."""

import asyncio
from typing import Final

import typer

from twite.assembly.desk import open_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, text
from twite.domain.account import Account, total

EXAMPLE: Final = "Example: `twite accounting --json | jq .balance`"
_COLUMNS: Final = (*Account.__struct_fields__[2:], "balance")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("accounting", help=text("accounting", accounting, EXAMPLE))(accounting)


def accounting(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Received = delivered + duplicate + suppressed + rejected + dead + held + pending."""
    found = load(config, credentials=False)

    async def read() -> list[Account]:
        async with open_records(found) as records:
            return list(await records.accounts())

    accounts = asyncio.run(read())
    if as_json:
        by = [{"source": one.source, "pixel": one.pixel} | _sums(one) for one in accounts]
        printing.print_json(_sums(total(accounts)) | {"by": by})
    else:
        _print(accounts)
    if any(account.balance for account in accounts):
        printing.complain("The balance is not 0: conversions are unaccounted for. Run twite check.")
        raise typer.Exit(1)


def _print(accounts: list[Account]) -> None:
    rows: list[list[str | int]] = [
        [account.source, account.pixel or "none", *_sums(account).values()]
        for account in [*accounts, total(accounts)]
    ]
    rows[-1][:2] = ["all", ""]
    printing.print_table("", ["source", "pixel", *_COLUMNS], rows)


def _sums(account: Account) -> dict[str, int]:
    return {name: getattr(account, name) for name in _COLUMNS}
