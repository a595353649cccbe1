import asyncio
import json
import sqlite3
from contextlib import closing

from command_stage import settings_in

from builders import NOW
from twite.domain.times import spelled
from twite.stores.sqlite import SQLiteStore


def test_accounting_prints_the_balance_as_a_table(command, shop):
    code, out, err = command("accounting", "--config", str(shop))

    assert (code, err) == (0, "")
    balance, _ = out.split("Pending conversions")
    assert [line.replace("│", " ").split() for line in balance.splitlines() if line[0] == "│"] == [
        ["shop", "o8z6j", "5", "1", "1", "0", "0", "1", "1", "1", "0"],
        ["all", "5", "1", "1", "0", "0", "1", "1", "1", "0"],
    ]


def test_accounting_as_json_matches_the_http_response(command, shop):
    sums = {
        "received": 5,
        "delivered": 1,
        "duplicate": 1,
        "suppressed": 0,
        "rejected": 0,
        "dead": 1,
        "held": 1,
        "pending": 1,
        "balance": 0,
    }

    code, out, _ = command("accounting", "--config", str(shop), "--json")

    assert code == 0
    reported = json.loads(out)
    del reported["forecast"]
    by = [{"source": "shop", "pixel": "o8z6j", **sums}]
    assert reported == {**sums, "by": by, "ignored": []}


def test_accounting_prints_pending_conversions_in_a_separate_table(command, shop):
    _, out, _ = command("accounting", "--config", str(shop))

    _, pending = out.split("Pending conversions")
    [line] = [line for line in pending.splitlines() if line[0] == "│"]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert (cells[:3], len(cells)) == (["o8z6j", "1", spelled(NOW)], 7)


def test_accounting_prints_the_forecast_as_json(command, shop):
    _, out, _ = command("accounting", "--config", str(shop), "--json")

    [expected] = json.loads(out)["forecast"]
    # These fields depend on the date on which the test runs.
    late = {"rate_per_hour", "drained_at", "late", "misses", "next_deadline_at"}
    assert {name: expected[name] for name in expected.keys() - late} == {
        "pixel": "o8z6j",
        "pending": 1,
        "oldest_at": spelled(NOW),
    }
    assert late <= expected.keys()


def test_forecast_is_omitted_without_pending_conversions(command, tmp_path):
    asyncio.run(_empty_store(tmp_path))

    _, out, _ = command("accounting", "--config", str(settings_in(tmp_path)))

    assert "Pending conversions" not in out


def test_balance_other_than_0_exits_1(command, shop):
    _lose_delivered_conversions(shop.parent / "twite.db")

    code, _, err = command("accounting", "--config", str(shop))

    assert code == 1
    assert err == ("The balance is not 0: conversions are unaccounted for. Run twite check.\n")


def test_accounting_needs_no_credentials(command, shop, monkeypatch):
    monkeypatch.delenv("X_PIXEL_TOKEN")

    assert command("accounting", "--config", str(shop))[0] == 0


def _lose_delivered_conversions(path):
    """Corrupt the counts, as a bug might."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE account SET delivered = delivered - 1")
    connection.close()


async def _empty_store(folder):
    store = await SQLiteStore.open(str(folder / "twite.db"))
    await store.close()
