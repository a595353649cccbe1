"""Make `orders.csv`: a made-up shop's export, as untidy as real ones are.

    python examples/make_orders.py [--orders 1000] [--seed 7] [--start 2026-11-22T06:00:00Z] [FILE]

The same arguments give the same bytes. Every domain, number and address is from a range reserved
for examples (RFC 2606, 5737 and 3849; the 555-01xx numbers; Ofcom's 020 7946 0xxx); no person is
meant. Nobody says which rows are good: that is for `twite send` to find out.
"""

# ruff: noqa: INP001 — a script beside what it makes, not a package
import argparse
import csv
import io
import random
import string
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

COLUMNS = (
    "order_id",
    "created_at",
    "event",
    "total",
    "currency",
    "email",
    "phone",
    "twclid",
    "ip",
    "user_agent",
    "items",
    "page",
)
TOTAL, EMAIL = COLUMNS.index("total"), COLUMNS.index("email")

GOODS = {
    "POT-12": ("18.50", 30),
    "TEA-OOLONG": ("9.90", 60),
    "CUP-2": ("7.25", 50),
    "TIN-L": ("24.00", 25),
    "SCOOP": ("3.40", 20),
    "KETTLE-1": ("89.00", 12),
    "VOUCHER-25": ("25.00", 10),
}
# What one euro is, about; with the decimals that the currency has.
CURRENCIES = {
    "EUR": ("1", 2, 50),
    "USD": ("1", 2, 22),
    "GBP": ("0.85", 2, 14),
    "JPY": ("160", 0, 8),
    "CHF": ("0.95", 2, 4),
    "KWD": ("0.35", 3, 2),
}
MOZILLA = "Mozilla/5.0 ({}) {}"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0{} Safari/537.36"
AGENTS = (
    MOZILLA.format("Windows NT 10.0; Win64; x64", WEBKIT.format("")),
    MOZILLA.format("Linux; Android 16; Pixel 10", WEBKIT.format(" Mobile")),
    MOZILLA.format("X11; Linux x86_64; rv:145.0", "Gecko/20100101 Firefox/145.0"),
    MOZILLA.format("Macintosh; Intel Mac OS X 15.7; rv:145.0", "Gecko/20100101 Firefox/145.0"),
)
DOMAINS = ("example.com", "example.net", "example.org", "mail.example", "post.example")
NOT_EMAILS = ("n/a", "none@none", "no-email", "unknown", "-", "guest")
NOT_PHONES = ("0", "+0", "12345", "ask me", "none", "private")
NOT_CLICK_IDS = ("undefined", "null", "[object Object]")
NOT_ADDRESSES = ("unknown", "10.0.0.7", "192.168.1.20", "127.0.0.1")

# How often, in a thousand, a cell is how.
AGAIN = {"once": 950, "same": 32, "other_case": 12, "other_total": 6}
EVENTS = {"purchase": 880, "Purchase": 40, "sign_up": 60, "lead": 20}
AMOUNTS = {
    "plain": 850,
    "decimal_comma": 20,
    "with_code": 25,
    "refund": 15,
    "zero": 20,
    "missing": 10,
    "thousands": 10,
    "lower_case": 38,
    "wrong_currency": 12,
}
EMAILS = {"missing": 60, "none": 160, "untidy": 780}
PHONES = {"missing": 340, "none": 180, "untidy": 480}
CLICK_IDS = {"missing": 550, "none": 30, "usual": 380, "without_dash": 20, "padded": 20}
ADDRESSES = {"missing": 180, "none": 220, "long": 200, "short": 400}
AGENT_CELLS = {"missing": 200, "usual": 800}


def orders(*, count: int, seed: int, start: datetime) -> list[list[str]]:
    """Return `count` orders and, further down, one in twenty again, not always the same."""
    randomness = random.Random(seed)  # noqa: S311 — made-up orders need no secrecy, but sameness
    rows = []
    at = start
    for number in range(count):
        at += timedelta(milliseconds=randomness.randrange(5_000, 95_000))
        rows.append(_order(randomness, number, at))
    for first in range(count):
        again = _weighted(randomness, AGAIN)
        if again != "once":
            rows.insert(
                randomness.randrange(first + 1, len(rows) + 1), _repeated(rows[first], again)
            )
    return rows


def spelled(rows: Sequence[Sequence[str]]) -> bytes:
    """Write rows as spreadsheets do: byte-order mark, CRLF, quotes where needed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def _order(randomness: random.Random, number: int, at: datetime) -> list[str]:
    order_id = 200_000 + number
    currency = _weighted(randomness, {code: row[2] for code, row in CURRENCIES.items()})
    rate, places, _ = CURRENCIES[currency]
    basket, total = _basket(randomness, Decimal(rate), places)
    amount, code = _priced(randomness, total, currency)
    return [
        f"T-{order_id}",
        _pick(randomness, TIMES)(at, randomness),
        _weighted(randomness, EVENTS),
        amount,
        code,
        _email(randomness, number),
        _phone(randomness),
        _click_id(randomness),
        _address(randomness),
        _pick(randomness, AGENTS) if _weighted(randomness, AGENT_CELLS) == "usual" else "",
        basket,
        f"https://shop.example/thanks?order={order_id}",
    ]


def _repeated(order: list[str], again: str) -> list[str]:
    row = list(order)
    if again == "other_case":
        row[EMAIL] = row[EMAIL].swapcase()
    elif again == "other_total":
        row[TOTAL] = "1.00"
    return row


def _basket(randomness: random.Random, rate: Decimal, places: int) -> tuple[str, Decimal]:
    """Return the items as the export spells them, and what they come to."""
    wanted = {
        _weighted(randomness, {name: row[1] for name, row in GOODS.items()}) for _ in range(3)
    }
    lines, total = [], Decimal(0)
    for name in sorted(wanted)[: randomness.randrange(1, 4)]:
        quantity = _pick(randomness, (1, 1, 1, 2, 2, 5))
        price = (Decimal(GOODS[name][0]) * rate).quantize(Decimal(1).scaleb(-places))
        lines.append(f"{name} x{quantity} @{price:.{max(places, 2)}f}")
        total += price * quantity
    return " | ".join(lines), total


def _priced(randomness: random.Random, total: Decimal, currency: str) -> tuple[str, str]:
    """Return an amount and a currency as the export spells them."""
    plain = str(total)
    spellings = {
        "plain": (plain, currency),
        "decimal_comma": (plain.replace(".", ","), currency),
        "with_code": (f"{currency} {plain}", ""),
        "refund": ("-5.00", currency),
        "zero": ("0", currency),
        "missing": ("", currency),
        "thousands": (f"{total + 1000:,}", currency),
        "lower_case": (plain, currency.lower()),
        "wrong_currency": (plain, _pick(randomness, ("XX", "XXX1", "EURO"))),
    }
    return spellings[_weighted(randomness, AMOUNTS)]


def _email(randomness: random.Random, number: int) -> str:
    kind = _weighted(randomness, EMAILS)
    if kind != "untidy":
        return "" if kind == "missing" else _pick(randomness, NOT_EMAILS)
    name = _pick(randomness, ("shopper{}", "first.last+tag{}", "büro{}", "tea_{}", "ab.cd{}"))
    address = f"{name.format(number)}@{_pick(randomness, DOMAINS)}"
    untidy = (address, address, address, address.upper(), address.title(), f" {address} ")
    return _pick(randomness, untidy)


def _phone(randomness: random.Random) -> str:
    kind = _weighted(randomness, PHONES)
    if kind != "untidy":
        return "" if kind == "missing" else _pick(randomness, NOT_PHONES)
    area, last = _pick(randomness, ("415", "212", "312")), f"{randomness.randrange(100):02d}"
    london = f"{randomness.randrange(1000):03d}"
    return _pick(
        randomness,
        (
            f"+1 ({area}) 555-01{last}",
            f"({area}) 555 01{last}",
            f"1-{area}-555-01{last}",
            f"+1{area}55501{last}",
            f"001 {area}55501{last}",
            f"+44 20 7946 0{london}",
            f"0044 (0)20 7946 0{london}",
            f"020 7946 0{london}",
        ),
    )


def _click_id(randomness: random.Random) -> str:
    kind = _weighted(randomness, CLICK_IDS)
    letters = string.ascii_lowercase + string.digits
    code = "".join(_pick(randomness, letters) for _ in range(randomness.randrange(21, 25)))
    spellings = {
        "missing": "",
        "none": _pick(randomness, NOT_CLICK_IDS),
        "usual": f"2-{code}",
        "without_dash": f"{code}2x",
        "padded": f" 2-{code}",
    }
    return spellings[kind]


def _address(randomness: random.Random) -> str:
    net = _pick(randomness, ("192.0.2", "198.51.100", "203.0.113"))
    spellings = {
        "missing": "",
        "none": _pick(randomness, NOT_ADDRESSES),
        "long": f"2001:db8::{randomness.randrange(1, 65_536):x}",
        "short": f"{net}.{randomness.randrange(1, 255)}",
    }
    return spellings[_weighted(randomness, ADDRESSES)]


def _milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


TIMES: tuple[Callable[[datetime, random.Random], str], ...] = (
    lambda at, _: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    lambda at, _: at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    lambda at, randomness: at.astimezone(
        timezone(timedelta(hours=_pick(randomness, (0, 0, 1, -5, -8))))
    ).isoformat(timespec="microseconds"),
    lambda at, _: str(_milliseconds(at) // 1000),
    lambda at, _: str(_milliseconds(at)),
)


def _pick(randomness: random.Random, among: Sequence[T]) -> T:
    return among[randomness.randrange(len(among))]


def _weighted(randomness: random.Random, weights: dict[str, int]) -> str:
    draw = randomness.randrange(sum(weights.values()))
    for name, weight in weights.items():
        if draw < weight:
            return name
        draw -= weight
    raise AssertionError("the weights are used up")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a made-up shop's untidy export.")
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path(__file__).with_name("orders.csv")
    )
    parser.add_argument("--orders", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--start", type=datetime.fromisoformat, default="2026-11-22T06:00:00Z")
    given = parser.parse_args()

    rows = orders(count=given.orders, seed=given.seed, start=given.start)
    given.file.write_bytes(spelled(rows))
    print(f"{given.file}: {len(rows)} rows")  # noqa: T201 — a script for a person at a prompt


if __name__ == "__main__":
    main()
