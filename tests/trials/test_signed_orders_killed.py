"""Gateways are killed while shops post signed webhooks and SDKs post batches of Segment's API."""

import base64
import http.client
import json
import os
import random
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from gateway_processes import KEY, PIXEL, BalanceWatch, Gateway, PostgresGateway
from signed_senders import STRIPE_SECRET, WOO_SECRET, with_webhooks

from ends import SeenConversions, judge
from shopify_orders import ORDER, signed
from twite.domain.secret import Secret
from twite.domain.times import SECOND, spelled
from twite.formats.stripe.read import signature as stripe_signature
from twite.formats.webhook_kind import signed_base64
from twite_emulator.process import counts_of, running_emulator

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1_800)]

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
KILLS = 20 if TRIAL else 2
SHOPIFY_SECRET = "a secret of the shop"
SHOPIFY = f"""
[[webhook]]
name = "shopify"
kind = "shopify"
secret = ["an older secret", "{SHOPIFY_SECRET}"]
source = "shop"
"""
SWITCHES = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
CLICK = "23opevjt88psuo13lu8d020qkn"
BATCH = 10
REPEATS = 1 / 6


def of_shopify(ids):
    now = spelled(int(time.time() * SECOND))
    times = {"processed_at": now, "created_at": now, "updated_at": now}
    body = json.dumps(ORDER | {"id": ids[0]} | times).encode()
    return "/webhooks/shopify", body, signed(body, secret=SHOPIFY_SECRET)


def of_stripe(ids):
    session = {
        "id": ids[0], "livemode": True, "mode": "payment", "payment_status": "paid",
        "amount_total": 4_990, "currency": "eur", "metadata": {"twclid": CLICK},
    }  # fmt: skip
    now = int(time.time())
    event = {
        "id": "evt", "livemode": True, "created": now, "type": "checkout.session.completed",
        "data": {"object": session},
    }  # fmt: skip
    body = json.dumps(event).encode()
    secret = Secret(STRIPE_SECRET)
    header = stripe_signature(body, secret=secret, now=now * SECOND).decode()
    return "/webhooks/stripe", body, {"Stripe-Signature": header}


def of_woocommerce(ids):
    order = {
        "id": ids[0], "status": "processing", "currency": "EUR", "total": "49.90",
        "date_paid_gmt": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
        "billing": {"email": "buyer@shop.example"}, "line_items": [],
    }  # fmt: skip
    body = json.dumps(order).encode()
    given = signed_base64(Secret(WOO_SECRET), body).decode()
    return "/webhooks/woo", body, {"X-WC-Webhook-Signature": given}


def of_segment(ids):
    calls = [
        {
            "type": "track", "event": "Order Completed", "messageId": f"m-{id_}",
            "properties": {"order_id": id_, "total": 49.9, "currency": "EUR", "twclid": CLICK},
        }
        for id_ in ids
    ]  # fmt: skip
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    body = json.dumps({"batch": calls}).encode()
    return "/v1/batch", body, {"Authorization": f"Basic {basic}"}


SENDERS = {"shopify": of_shopify, "stripe": of_stripe, "woo": of_woocommerce, "segment": of_segment}


class SignedShops:
    """Two clients for each sender, which post while a `with` block runs."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.acknowledged = set()
        self.repeated = 0
        self.problems = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._post_on, args=(f"{name}{number}", name))
            for name in SENDERS
            for number in range(2)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _post_on(self, client, sender):
        randomness, past, made = random.Random(client), [], 0
        while not self._over.is_set():
            again = bool(past) and randomness.random() < REPEATS
            if again:
                ids = randomness.choice(past[-20:])
            else:
                size = BATCH if sender == "segment" else 1
                ids = [f"{client}-{made + place}" for place in range(size)]
                made += size
                past.append(ids)
            if self._post(*SENDERS[sender](ids)):
                self.acknowledged.update(ids)
                self.repeated += len(ids) * again

    def _post(self, path, body, headers):
        there = urlsplit(self.gateway.url)
        line = http.client.HTTPConnection(there.hostname, there.port, timeout=10)
        try:
            line.request("POST", path, body, headers)
            answer = line.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
            return False
        finally:
            with suppress(OSError):
                line.close()
        if answer.status in {429, 503}:
            time.sleep(0.05)
        elif answer.status != 200 or b'"rejected":[{' in said or b'"ignored":1' in said:
            self.problems.append(f"{path}: {answer.status} {said!r}")
        return answer.status == 200


@pytest.fixture(params=["SQLite", "PostgreSQL", "PostgreSQL, two workers"])
def gateway_on(request, tmp_path):
    def made(x):
        if request.param == "SQLite":
            return with_webhooks(Gateway(tmp_path, x), SHOPIFY)
        url = request.getfixturevalue("empty_postgres_url")
        extra = "workers = 2" if "workers" in request.param else ""
        return with_webhooks(PostgresGateway(tmp_path, x, url, extra=extra), SHOPIFY)

    made.store = request.param
    return made


def test_killed_gateway_loses_no_signed_order_and_counts_none_twice(gateway_on, figure):
    randomness = random.Random(1)
    with running_emulator(*SWITCHES) as x, gateway_on(x.url) as gateway:
        with SignedShops(gateway) as shops, BalanceWatch(gateway) as watch:
            for _ in range(KILLS):
                time.sleep(randomness.uniform(0.1, 0.9))
                gateway.kill()
                gateway.start()
        balance = gateway.drained(seconds=600)
        tallies = counts_of(x, PIXEL)["o8z6k"].ids

    seen = SeenConversions(
        acknowledged=shops.acknowledged,
        unanswered=(),
        tallies=tallies,
        balance=balance,
        residues=watch.residues,
        problems=shops.problems,
    )
    assert judge(seen, end="kill") == ()
    assert {id_.partition("-")[0][:-1] for id_ in shops.acknowledged} == SENDERS.keys()
    resent = sum(tally.api > 1 for tally in tallies.values())
    figure(
        f"signed orders and Segment's batches survive kill -9 ({gateway_on.store})",
        f"{KILLS} kills, {len(shops.acknowledged):,} acknowledged, 0 lost, 0 counted twice; "
        f"{shops.repeated:,} repeated, {resent:,} resent as ambiguous",
    )
