"""A store with something for each report, and settings for each command."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
from command_stage import HELD_ALERT, files_of, fill_with_orders, write_files
from command_stage import SETTINGS as BASE
from intake_stage import SHOP, intake

from any_results import ACCOUNT, an_account, some_days
from builders import NOW, a_conversion, a_submission, an_entry
from fakes import PlainPasswords
from shop_double import KEY as SHOP_KEY
from shop_double import SECRET as SHOP_SECRET
from shop_double import ShopDouble, an_order
from twite.domain.conversion import Identifiers
from twite.domain.joins import JoinRequest
from twite.domain.people.users import KeyScope, Role
from twite.domain.replay_batch import ReplayBatch, ReplayPart
from twite.domain.stats.deduplication import DedupPath, DedupRow
from twite.gateway.identity.accounts import Accounts
from twite.gateway.ports.outbox import SweepRequest
from twite.gateway.results.records import put_account, put_days
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from twite.x.encode import conversion_body

WITH_ACCOUNT = BASE.replace("[x]", 'secret_key = "file:twite.secret"\n[x]').replace(
    'id = "o8z6j"', 'id = "o8z6j"\naccount = "18ce54d4x5t"'
)
FEATURES = """\
[alerts]
webhook = "http://127.0.0.1:1/hook"
[[webhook]]
name = "crm"
kind = "generic"
secret = "a-secret-that-nobody-will-guess"
source = "shop"
authentication = "path"
[webhook.map]
conversion_id = "id"
value = "total"
currency = "currency"
email = "mail"
[[value_rule]]
name = "lead"
events = ["sign_up"]
value = "`20`"
currency = "EUR"
[[sync]]
name = "orders"
source = "shop"
url = "sqlite:///{folder}/shop.db"
query = "SELECT id AS conversion_id, at AS time, changed, total, email FROM orders"
cursor = "changed"
key = "conversion_id"
event = "purchase"
currency = "EUR"
"""
WOOCOMMERCE = """
[[webhook]]
name = "woo"
kind = "woocommerce"
secret = "another-secret-that-nobody-will-guess"
source = "shop"
paid_since = "2026-01-01T00:00:00Z"
shop_url = "{shop}"
consumer_key = "{key}"
consumer_secret = "{secret}"
"""
# What the webhook `crm` reads.
ORDER = {"id": "crm-1", "total": "49.90", "currency": "EUR", "mail": "shopper@shop.example"}
_RECEIVED = (
    {"event": "purchase", "conversion_id": "order-5", "email": "shopper@shop.example",
     "value": "49.90", "currency": "EUR"},
    {"event": "purchase", "conversion_id": "order-6", "email": "shopper@shop.example",
     "consent": {"ad_user_data": "denied"}},
    {"event": "wishlist", "conversion_id": "lead-1", "email": "shopper@shop.example"},
)  # fmt: skip
# A replay with a conversion that is not queued yet.
_REPLAY = ReplayBatch(
    id="r1",
    at=NOW,
    who="ada",
    pixel="o8z6j",
    event="o8z6k",
    reason="400",
    edit="{}",
    confirmed_at=None,
    total=1,
    parts=1,
)
_PART = ReplayPart(batch="r1", place=0, cause=None, reason="400", deliveries=(999,))


def full_settings(
    folder: Path, x: str = "http://127.0.0.1:1", *, shop: ShopDouble | None = None
) -> Path:
    """Write settings, their secret key, and what commands read.

    `shop` is one of WooCommerce, and has one order.
    """
    path = folder / "twite.toml"
    text = (WITH_ACCOUNT + FEATURES).format(x=x, folder=folder)
    if shop is not None:
        shop.orders = [an_order(1, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}")]
        text += WOOCOMMERCE.format(shop=shop.url, key=SHOP_KEY, secret=SHOP_SECRET)
    path.write_text(text)
    secret = folder / "twite.secret"
    secret.write_text("the-first-key-that-seals-what-is-stored\n")
    secret.chmod(0o600)
    (folder / "order.json").write_text(json.dumps(ORDER))
    (folder / "orders.jsonl").write_text(json.dumps(_RECEIVED[0]) + "\n")
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS orders(id, at, changed, total, email)")
    return path


def full_store(folder: Path) -> None:
    """Make a store in which each report has at least one row."""
    write_files(folder, _files_of_store())


@cache
def _files_of_store() -> dict[str, bytes]:
    return files_of(_filled)


async def _filled(path: str) -> None:
    await fill_with_orders(path)
    await _receive(path)
    now = SystemClock().now()
    store = await SQLiteStore.open(path)
    try:
        await _join(store, now)
        row = DedupRow(
            pixel="o8z6j", event="o8z6k", conversion_id="a", path=DedupPath.PIXEL, at=now
        )
        await store.record(
            msgspec.structs.replace(a_submission(receipt="pixel"), dedup_rows=(row,))
        )
        await put_account(store, an_account(now))
        await put_days(store, ACCOUNT, some_days(now))
        await store.put([HELD_ALERT])
        await store.put([_PART])
        await store.put([msgspec.structs.replace(_REPLAY, at=now)])
        accounts = Accounts(directory=store.people, passwords=PlainPasswords(), clock=SystemClock())
        for name, role in (("ada", Role.ADMIN), ("vic", Role.VIEWER)):
            await accounts.add(
                name, role=role, password="a sentence that does well", pixels=None, by="test"
            )
        await accounts.make_key("reports", scopes=[KeyScope.RESULTS], pixels=None, by="test")
    finally:
        await store.close()


async def _receive(path: str) -> None:
    async with intake(path) as accept:
        for conversion in _RECEIVED:
            await accept.native(source=SHOP, body=json.dumps(conversion).encode())


async def _join(store: SQLiteStore, now: int) -> None:
    """Record a conversion that waited for identifiers."""
    body = conversion_body(
        msgspec.structs.replace(a_conversion(), identifiers=Identifiers(email="0" * 64), time=now)
    )
    entry = msgspec.structs.replace(
        an_entry("order-7"), body=body, join=JoinRequest(keys=("0" * 32,), whose="", wait=1)
    )
    await store.record(a_submission(entry, receipt="waited", received_at=now - 1_000))
    await store.sweep(SweepRequest(now=now, ambiguous_before=0, waiting_before=0))
