"""`twite sync woocommerce`: undelivered orders reach X once, also if the command is killed."""

import json
import os
import subprocess
import sys
import time

import pytest
from gateway_processes import Gateway, command
from signed_senders import utc, with_webhooks, woo

from canaries import EMAIL, found_in
from shop_double import KEY, SECRET, an_order, shop_double

pytestmark = pytest.mark.journey

# How often the command is killed.
KILLS = 50 if os.environ.get("TWITE_TRIAL") else 5


@pytest.fixture
def shop():
    with shop_double() as double:
        yield double


@pytest.fixture
def gateway(tmp_path, x_emulator, shop):
    keys = f"""
shop_url = "{shop.url}"
consumer_key = "{KEY}"
consumer_secret = "{SECRET}"
"""
    with with_webhooks(Gateway(tmp_path, x_emulator.url), keys) as running:
        yield running


def sync(gateway, *more):
    return command(gateway, "sync", "woocommerce", "--to", gateway.url, "--json", *more)


def counts(done):
    return {name: number for name, number in json.loads(done.stdout).items() if number}


def counted(x_emulator):
    """Return how often X counted each order."""
    times: dict[str, int] = {}
    for request in x_emulator.received(bodies=True)["entries"]:
        for conversion in json.loads(request["body"])["conversions"]:
            name = conversion["conversion_id"]
            times[name] = times.get(name, 0) + 1
    return times


def test_orders_that_the_webhook_did_not_deliver_reach_x_once(gateway, shop, x_emulator):
    delivered = an_order(1, utc(400))
    pending = an_order(3, utc(200), status="pending", date_paid_gmt=None)
    old = an_order(4, utc(100), date_paid_gmt=utc(30 * 86_400))
    shop.orders = [delivered, an_order(2, utc(300), total="403.10"), pending, old]
    assert woo(gateway, delivered)[0] == 200

    first, second = sync(gateway), sync(gateway)
    shop.orders[2] |= {"status": "processing", "date_paid_gmt": utc(), "date_modified_gmt": utc()}
    third = sync(gateway)
    gateway.drained()

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0)
    assert counts(first) == {"orders": 4, "accepted": 1, "duplicates": 1, "ignored": 2}
    # The last second before the cursor is read again.
    assert counts(second) == {"orders": 1, "ignored": 1}
    assert counts(third) == {"orders": 2, "accepted": 1, "ignored": 1}
    assert counted(x_emulator) == {"1": 1, "2": 1, "3": 1}


def test_killed_command_continues_and_loses_and_repeats_nothing(gateway, shop, x_emulator):
    begin = time.time() - 5_000
    shop.orders = [an_order(number, utc(time.time() - begin - number)) for number in range(1, 401)]
    arguments = [sys.executable, "-m", "twite", "sync", "woocommerce", "--to", gateway.url]
    for kill in range(KILLS):
        process = subprocess.Popen(
            [*arguments, "--config", gateway.config],
            env=gateway.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Duplicates count as received, too. Some runs end within a page, some after it.
        enough = gateway.balance()["received"] + 30 + 47 * kill % 150
        while process.poll() is None and gateway.balance()["received"] < enough:
            time.sleep(0.01)
        process.kill()
        process.wait()

    done = sync(gateway)
    gateway.drained()

    assert done.returncode == 0
    assert counted(x_emulator) == {str(number): 1 for number in range(1, 401)}


def test_rejected_order_is_exit_1_and_named_by_the_gateway(gateway, shop):
    shop.orders = [an_order(1, utc(60), total="free"), an_order(2, utc(50))]

    done = command(gateway, "sync", "woocommerce", "--to", gateway.url)

    assert done.returncode == 1
    assert "2 changed orders: 1 accepted" in done.stdout
    assert "twite rejected" in done.stderr
    rejected = json.loads(command(gateway, "rejected", "--json").stdout)
    assert [row["conversion_id"] for row in rejected] == ["1"]


def test_order_that_is_too_large_does_not_stop_the_others(gateway, shop, x_emulator):
    large = an_order(1, utc(60), customer_note="x" * 1_200_000)
    shop.orders = [large, an_order(2, utc(50))]

    done = sync(gateway)
    gateway.drained()

    assert (done.returncode, counts(done)) == (1, {"orders": 2, "accepted": 1, "rejected": 1})
    assert "order 1 is too large" in done.stderr
    assert counted(x_emulator) == {"2": 1}


def test_command_explains_what_is_wrong(gateway, shop):
    shop.orders = [an_order(1, utc(60))]
    unknown = command(gateway, "sync", "woocommerce", "other")
    elsewhere = sync(gateway, "--wait", "0", "--to", "http://127.0.0.1:1")
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("canary woo secret", "another secret"))
    other_secret = sync(gateway)
    gateway.config.write_text(text.replace(f'consumer_key = "{KEY}"', 'consumer_key = "ck_wrong"'))
    wrong_key = sync(gateway)
    gateway.config.write_text(text.replace('name = "woo"', 'name = "new"'))
    not_reloaded = sync(gateway)

    explained = [
        (unknown, 2, "Available: woo"),
        (elsewhere, 1, "no gateway answers"),
        (other_secret, 1, "refuses the signature"),
        (wrong_key, 1, "refuses the consumer key"),
        (not_reloaded, 1, "no webhook of this name"),
    ]
    assert [(done.returncode, words in done.stderr) for done, _, words in explained] == [
        (code, True) for _, code, _ in explained
    ]


def test_no_file_or_output_contains_a_person_or_the_keys(gateway, shop, tmp_path):
    shop.orders = [an_order(1, utc(60), billing={"email": EMAIL}), an_order(2, utc(50), total="x")]
    outputs = [sync(gateway), sync(gateway)]
    shop.answer = (500, {}, EMAIL.encode())
    outputs.append(sync(gateway))
    gateway.kill()

    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "twite.toml"]
    kept = {path.name: path.read_bytes() for path in files}
    kept["outputs"] = "".join(done.stdout + done.stderr for done in outputs).encode()
    assert "twite.db.sync-woo" in kept
    assert {name: found for name, held in kept.items() if (found := found_in(held))} == {}
    keys = [KEY.encode(), SECRET.encode()]
    assert [name for name, held in kept.items() if any(key in held for key in keys)] == []
