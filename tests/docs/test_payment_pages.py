"""The pages about Stripe and WooCommerce: their settings are read, their snippets run."""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from formats.webhook_builders import a_message, a_webhook
from twite.formats.webhook_kinds import KINDS
from twite.formats.woocommerce.read import read
from written import GOOD
from written import read as read_settings

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
STRIPE = (PAGES / "receive-stripe-payments.md").read_text("utf-8")
WOO = (PAGES / "receive-woocommerce-orders.md").read_text("utf-8")
ENVIRON = dict.fromkeys(
    ("STRIPE_WEBHOOK_SECRET", "WOO_WEBHOOK_SECRET", "WOO_CONSUMER_KEY", "WOO_CONSUMER_SECRET"),
    "a-secret",
)
PHP = shutil.which("php")
# WordPress, as far as the snippet uses it.
WORDPRESS = """<?php
$hooks = [];
function add_action($name, $call) { global $hooks; $hooks[$name] = $call; }
function sanitize_text_field($text) { return trim(strip_tags($text)); }
function wp_unslash($text) { return stripslashes($text); }
function wp_has_consent($kind) { return $kind === 'marketing' && $_SERVER['argv'][1] === 'yes'; }
class Order {
    public array $rows = [];
    public int $saved = 0;
    function update_meta_data($key, $value) { $this->rows[] = ['key' => $key, 'value' => $value]; }
    function save() { $this->saved++; }
}
"""
CALLS = """
$_COOKIE['_twite'] = '1.1795600000000.23opevjt88psuo13lu8d020qkn';
foreach ($hooks as $name => $call) {
    $order = new Order();
    $call($order);
    $made[$name] = ['rows' => $order->rows, 'saved' => $order->saved];
}
echo json_encode($made);
"""


def code(page, language):
    return re.search(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]


def names_in_table(page, words):
    """Return the names in the first column of the table whose header begins with `words`."""
    table = page.split(f"| {words} |")[1].split("\n\n")[0]
    return set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))


@pytest.mark.parametrize(("page", "kind"), [(STRIPE, "stripe"), (WOO, "woocommerce")])
def test_settings_of_the_page_are_read(tmp_path, page, kind):
    (webhook,) = read_settings(tmp_path, GOOD + code(page, "toml"), ENVIRON).webhooks

    assert webhook.kind.name == kind


def test_metadata_of_the_stripe_snippet_is_read():
    tree = ast.parse(code(STRIPE, "python"))
    written = {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "metadata"
        for key in node.value.keys
    }

    assert written - {"order_id"} == names_in_table(STRIPE, "metadata")
    source = Path(KINDS["stripe"].read.__code__.co_filename).read_text()
    assert [name for name in written - {"order_id"} if not re.search(rf"\b{name}\b", source)] == []


@pytest.mark.skipif(PHP is None, reason="no php")
@pytest.mark.parametrize(("consent", "expected"), [("yes", "granted"), ("no", "denied")])
def test_php_snippet_marks_orders_with_click_and_consent(tmp_path, consent, expected):
    script = tmp_path / "functions.php"
    script.write_text(WORDPRESS + code(WOO, "php") + CALLS)

    done = subprocess.run(
        [PHP, script, consent], capture_output=True, text=True, check=True, timeout=30
    )

    made = json.loads(done.stdout)
    assert {name: order["saved"] for name, order in made.items()} == {
        "woocommerce_checkout_create_order": 0,
        "woocommerce_store_api_checkout_update_order_meta": 1,
    }
    for order in made.values():
        body = {
            "id": 1,
            "status": "processing",
            "date_paid_gmt": "2026-11-25T09:06:40",
            "total": "1.00",
            "currency": "EUR",
            "line_items": [],
            "meta_data": order["rows"],
        }
        webhook = a_webhook(KINDS["woocommerce"])
        (native,) = read(a_message(json.dumps(body).encode()), webhook).parsed.conversions
        assert native.twclid == "1.1795600000000.23opevjt88psuo13lu8d020qkn"
        assert native.consent == {"ad_storage": expected, "ad_user_data": expected}
