"""Diagnostics of webhooks: settings that lose payments, and messages without data."""

import msgspec
import pytest

from builders import a_submission, an_entry
from twite.diagnostics import CheckStatus, examine
from twite.diagnostics.webhooks import webhook_ids, webhook_messages, webhooks
from twite.domain.stats.deduplication import DedupPath, DedupRow
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
        (STRIPE, "whsec_1", []),
        (WOO + KEYS, "", []),
        (
            STRIPE + WOO + KEYS,
            "whsec_1",
            ["the webhooks stripe and woo send the same event"],
        ),
        (
            WOO + KEYS + WOO.replace('"woo"', '"again"') + KEYS + 'conversion_id = "number"\n',
            "",
            ["the webhooks woo and again send the same event"],
        ),
        (WOO + KEYS + WOO.replace('"woo"', '"again"') + KEYS, "", []),
        (STRIPE + WOO + KEYS + 'event = "sign_up"\n', "whsec_1", []),
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


async def ids_found(tmp_path, *, pixel, server, page=(), mark=None):
    """Return the findings if pages reported ids for X's pixel, and others came from a server."""
    settings = settings_with(tmp_path, STRIPE)
    opened = await SQLiteStore.open(str(settings.store.path))
    paths = {DedupPath.PIXEL: pixel, DedupPath.SERVER: server, DedupPath.PAGE: page}
    rows = tuple(
        DedupRow(
            pixel="o8z6j",
            event="o8z6k",
            conversion_id=name,
            path=path,
            at=SystemClock().now(),
            email_mark=mark,
        )
        for path, names in paths.items()
        for name in names
    )
    entries = [an_entry(name) for name in server]
    submission = a_submission(*entries, received_at=SystemClock().now())
    await opened.record(msgspec.structs.replace(submission, dedup_rows=rows))
    await opened.close()
    return [each.found async for each in webhook_ids(settings)]


async def test_ids_of_the_pixel_that_never_come_are_a_warning(tmp_path):
    found = await ids_found(
        tmp_path,
        pixel=[f"cart-{number}" for number in range(20)],
        server=[f"order-{number}" for number in range(20)],
    )

    (warning,) = found
    assert warning.startswith("X's pixel o8z6j got 20 ids of the event purchase within seven days")
    assert warning.endswith("and 0 of them came to Twite")


@pytest.mark.parametrize(("pixel", "server"), [(20, 18), (19, 0), (0, 20)])
async def test_ids_that_agree_or_are_few_are_no_warning(tmp_path, pixel, server):
    ids = [f"order-{number}" for number in range(20)]

    assert await ids_found(tmp_path, pixel=ids[:pixel], server=ids[:server]) == []


async def test_order_with_two_ids_is_a_warning(tmp_path):
    found = await ids_found(tmp_path, pixel=["a-1"], page=["a-1"], server=["1"], mark=7)

    assert found == ["1 order of the event purchase had two ids within seven days"]


async def test_messages_are_not_checked_without_a_store_or_a_webhook(tmp_path):
    with_webhook = [each async for each in webhook_messages(settings_with(tmp_path, STRIPE))]
    without = [each async for each in webhook_messages(settings_with(tmp_path, ""))]
    ids = [each async for each in webhook_ids(settings_with(tmp_path, STRIPE))]

    assert (with_webhook, without, ids) == ([], [], [])


async def test_report_names_each_webhook(tmp_path):
    settings = settings_with(tmp_path, STRIPE)

    environ = {"STRIPE_SECRET": "whsec_1", "X_PIXEL_TOKEN": "token"}
    report = [each.found async for each in examine(settings.path, environ)]

    assert "stripe: stripe at /webhooks/stripe → source shop" in report


MAPPED = """
[[webhook]]
name = "crm"
kind = "{kind}"
secret = "{secret}"
source = "shop"
{more}
map = {{ conversion_id = "id" }}
"""
LONG = "a-secret-of-thirty-two-characters"
BY_PATH = 'authentication = "path"'


@pytest.mark.parametrize(
    ("kind", "secret", "more", "expected"),
    [
        ("standard", "whsec_c2VjcmV0", "", []),
        ("standard", "any text", "", []),
        (
            "standard",
            "whsec_no base64",
            "",
            ["a secret of the webhook crm begins with whsec_, but the rest is not base64"],
        ),
        ("generic", LONG, BY_PATH, []),
        ("generic", "short", BY_PATH, ["a secret of the webhook crm is short"]),
        ("generic", "short", 'signature = { header = "X-Sig" }', []),
        ("hubspot", "a-client-secret", "", []),
    ],
)
def test_settings_that_admit_nobody_or_anybody_are_reported(tmp_path, kind, secret, more, expected):
    settings = read(tmp_path, GOOD + MAPPED.format(kind=kind, secret=secret, more=more))

    found = list(webhooks(settings))

    assert [each.found for each in found if each.status is not CheckStatus.PASSED] == expected


def test_signature_of_the_url_needs_the_public_url(tmp_path):
    text = GOOD.replace('public_url = "https://t.shop.example"\n', "")
    settings = read(tmp_path, text + MAPPED.format(kind="hubspot", secret=LONG, more=""))

    found = [each for each in webhooks(settings) if each.status is CheckStatus.FAILED]

    assert [each.found for each in found] == ["the webhook crm needs server.public_url"]
