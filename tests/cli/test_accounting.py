import json
import sqlite3


def test_the_balance_is_a_table(command, shop):
    code, out, err = command("accounting", "--config", str(shop))

    assert (code, err) == (0, "")
    assert [line.replace("│", " ").split() for line in out.splitlines() if line[0] == "│"] == [
        ["shop", "o8z6j", "5", "1", "1", "0", "0", "1", "1", "1", "0"],
        ["all", "5", "1", "1", "0", "0", "1", "1", "1", "0"],
    ]


def test_the_balance_is_json_in_the_shape_of_the_http_answer(command, shop):
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
    assert json.loads(out) == {**sums, "by": [{"source": "shop", "pixel": "o8z6j", **sums}]}


def test_a_residue_is_a_failure(command, shop):
    _lose_what_was_delivered(shop.parent / "twite.db")

    code, _, err = command("accounting", "--config", str(shop))

    assert code == 1
    assert err == ("The balance is not 0: conversions are unaccounted for. Run twite check.\n")


def test_it_needs_no_credentials(command, shop, monkeypatch):
    monkeypatch.delenv("X_PIXEL_TOKEN")

    assert command("accounting", "--config", str(shop))[0] == 0


def _lose_what_was_delivered(path):
    """Damage the counts as a bug of ours might."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE account SET delivered = delivered - 1")
    connection.close()
