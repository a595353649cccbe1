"""Diagnostics of webhooks: settings that lose payments, and messages without data."""

import msgspec
import pytest

from builders import a_submission
from twite.diagnostics import CheckStatus, examine
from twite.diagnostics.webhooks import webhook_messages, webhooks
from twite.domain.submission import Endpoint, Ignored
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read

THIN = "v1.checkout.session.completed"
STRIPE = """
[[webhook]]
name = "stripe"
kind = "stripe"
secret = "env:STRIPE_SECRET"
source = "shop"
"""
INVOICES = STRIPE.replace('"stripe"', '"invoices"', 1) + 'payment = "invoice"\n'
WOO = """
[[webhook]]
name = "woo"
kind = "woocommerce"
secret = "woo-secret"
paid_since = "2026-12-01T00:00:00Z"
source = "shop"
"""
KEYS = """
shop_url = "https://shop.example"
consumer_key = "ck_1"
consumer_secret = "cs_1"
"""


def settings_with(tmp_path, text, written="whsec_1"):
    return read(tmp_path, GOOD + text, {"STRIPE_SECRET": written})


def warnings(settings):
    found = list(webhooks(settings))
    return [each.found for each in found if each.status is CheckStatus.WARNING]


@pytest.mark.parametrize(
    ("text", "written", "expected"),
    [
        (STRIPE + WOO + KEYS, "whsec_1", []),
        (STRIPE, "sk_live_1", ["a secret of the webhook stripe does not begin with whsec_"]),
        (WOO, "", ["the webhook woo has no shop_url"]),
        (
            STRIPE + INVOICES,
            "whsec_1",
            ["the webhooks stripe and invoices read different objects"],
        ),
        (STRIPE + INVOICES.replace("invoice", "checkout_session"), "whsec_1", []),
    ],
)
def test_settings_that_lose_payments_are_warnings(tmp_path, text, written, expected):
    assert warnings(settings_with(tmp_path, text, written)) == expected


@pytest.mark.parametrize(
    ("endpoint", "reason", "expected"),
    [
        (
            Endpoint.WEBHOOK,
            "no_data",
            [f"2 messages {THIN} for the source shop had no data within the last seven days"],
        ),
        (Endpoint.WEBHOOK, "test", []),
        (Endpoint.GA4, "no_data", []),
    ],
)
async def test_messages_without_data_are_a_warning(tmp_path, endpoint, reason, expected):
    settings = settings_with(tmp_path, STRIPE)
    opened = await SQLiteStore.open(str(settings.store.path))
    ignored = (Ignored(name=THIN, reason=reason),)
    for receipt in ("r-1", "r-2"):
        submission = a_submission(receipt=receipt, received_at=SystemClock().now())
        await opened.record(msgspec.structs.replace(submission, endpoint=endpoint, ignored=ignored))
    await opened.close()

    assert [each.found async for each in webhook_messages(settings)] == expected


async def test_messages_are_not_checked_without_a_store_or_a_webhook(tmp_path):
    with_webhook = [each async for each in webhook_messages(settings_with(tmp_path, STRIPE))]
    without = [each async for each in webhook_messages(settings_with(tmp_path, ""))]

    assert (with_webhook, without) == ([], [])


async def test_report_names_each_webhook(tmp_path):
    settings = settings_with(tmp_path, STRIPE)

    environ = {"STRIPE_SECRET": "whsec_1", "X_PIXEL_TOKEN": "token"}
    report = [each.found async for each in examine(settings.path, environ)]

    assert "stripe: stripe at /webhooks/stripe → source shop" in report
