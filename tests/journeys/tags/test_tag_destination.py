"""A tag beside the pixels: real gateways, a vendor on a socket, and test templates."""

import hmac
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from gateway_processes import Gateway, command, discard, replay, wait_for
from vendor import Vendor

TEMPLATE = Path(__file__).parents[2] / "tags/templates/crm_post.tpl"
KEY_OF_THE_VENDOR = "key-of-the-vendor-0001"
EMAIL = "shopper@mail.example"
NO_TRIGGER = "none of its triggers matches"
SUPPRESSED = {"received": 1, "suppressed": 1}

pytestmark = pytest.mark.journey


def with_tag(folder: Path, x: str, vendor: Vendor, **keys: str) -> Gateway:
    """Return a gateway whose tag `crm` posts to a vendor."""
    shutil.copy(TEMPLATE, folder / "crm.tpl")
    (folder / "vendor.key").write_text(KEY_OF_THE_VENDOR)
    said = {"consent": "[]", "events": '["purchase"]'} | keys
    lines = "\n".join(f"{key} = {value}" for key, value in said.items())
    gateway = Gateway(folder, x)
    gateway.config.write_text(
        gateway.config.read_text()
        + f"""
[[tag]]
name = "crm"
template = "crm.tpl"
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{vendor.url}", key = "file:vendor.key", note = "{{{{currency}}}}" }}
{lines}
"""
    )
    return gateway


def bought(number: int = 1, **said: object) -> dict[str, object]:
    return {
        "event": "purchase",
        "conversion_id": f"order-{number}",
        "value": "49.90",
        "currency": "EUR",
        "email": EMAIL,
        "ip": "203.0.113.7",
        **said,
    }


def rows(gateway: Gateway) -> list[dict]:
    return gateway.get("/v1/accounting")[1]["by"]


def row_of(gateway: Gateway, pixel: str) -> dict:
    return next(row for row in rows(gateway) if row["pixel"] == pixel)


def test_conversion_reaches_x_and_the_tag_and_both_are_counted(tmp_path, x_emulator):
    with Vendor() as vendor, with_tag(tmp_path, x_emulator.url, vendor) as gateway:
        status, receipt = gateway.post(bought())
        again = gateway.post(bought())[1]
        balance = gateway.drained()
        tag = row_of(gateway, "tag:crm")
        shown = json.loads(
            command(gateway, "show", "order-1", "--pixel", "tag:crm", "--json").stdout
        )

    assert (status, receipt["accepted"], again["duplicates"]) == (202, 1, 1)
    assert (balance["received"], balance["delivered"], balance["duplicate"]) == (4, 2, 2)
    assert (tag["delivered"], tag["duplicate"], tag["balance"]) == (1, 1, 0)
    [came] = vendor.came
    assert came["event"]["event_name"] == "purchase"
    assert came["event"]["value"] == 49.9
    assert came["event"]["ip_override"] == "203.0.113.7"
    assert came["note"] == "EUR"
    assert vendor.keys == [KEY_OF_THE_VENDOR]
    [history] = shown["conversions"]
    assert history["state"] == "delivered"
    assert [attempt["status"] for attempt in history["attempts"]] == [200]


def test_personal_data_for_a_tag_is_queued_hashed(tmp_path, x_emulator):
    with Vendor(lambda _: 500) as vendor, with_tag(tmp_path, x_emulator.url, vendor) as gateway:
        gateway.post(bought())
        wait_for(lambda: vendor.count() > 0)
        gateway.stop()
        log = gateway.log()

    hashed = vendor.came[0]["event"]["user_data"]["email_address"]
    assert len(hashed) == 64
    assert hashed == vendor.came[0]["event"]["user_data"]["sha256_email_address"]
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*"))
    for secret in (EMAIL, KEY_OF_THE_VENDOR):
        assert secret.encode() not in kept
        assert secret not in log


def test_sealed_tag_event_is_queued_encrypted(tmp_path, x_emulator):
    key = 'secret_key = "a-key-that-seals-things"'
    with Vendor() as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor, persons='"sealed"')
        written = gateway.config.read_text().replace("[server]", f"[server]\n{key}")
        gateway.config.write_text(written)
        with gateway:
            gateway.post(bought())
            gateway.drained()
            gateway.stop()

    assert vendor.came[0]["event"]["user_data"]["email_address"] == EMAIL
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*"))
    assert EMAIL.encode() not in kept


def test_event_that_is_not_for_x_fires_a_tag(tmp_path, x_emulator):
    with Vendor() as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor, events='["page_view"]')
        with gateway:
            query = "?v=2&tid=G-1&cid=1.2&_p=77&_s=1&en=page_view&dl=https%3A%2F%2Fshop.example%2F"
            for _ in range(2):
                gateway.post({}, f"/g/collect{query}&api_secret=journey-key-journey-key-journey")
            gateway.drained()
            tag = row_of(gateway, "tag:crm")

    assert [hit["event"]["event_name"] for hit in vendor.came] == ["page_view"]
    assert (tag["delivered"], tag["duplicate"]) == (1, 1)
    assert x_emulator.received()["entries"] == []


def test_event_only_for_a_tag_is_found_by_its_id(tmp_path, x_emulator):
    with (
        Vendor(lambda before: 422 if before < 5 else 200) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor, events="[]") as gateway,
    ):
        query = "?v=2&tid=G-1&cid=1.2&_p=77&_s=1&en=some_event&ep.transaction_id=B1"
        gateway.post({}, f"/g/collect{query}&api_secret=journey-key-journey-key-journey")
        gateway.drained(seconds=150)
        shown = json.loads(command(gateway, "show", "B1", "--json").stdout)["conversions"]
        status, asked = gateway.get("/v1/conversions/tag:crm/B1")
        replay(gateway, "B1")
        after = gateway.drained()

    assert [conversion["conversion_id"] for conversion in shown] == ["some_event/B1"]
    assert [(conversion["pixel"], conversion["state"]) for conversion in shown] == [
        ("tag:crm", "dead")
    ]
    assert (status, asked["receipt"]) == (200, shown[0]["receipt"])
    assert (after["dead"], after["delivered"]) == (0, 1)


def test_tag_fires_only_if_its_conditions_are_met(tmp_path, x_emulator):
    when = '[{ field = "value", operator = "greater", value = "40" }]'
    with Vendor() as vendor, with_tag(tmp_path, x_emulator.url, vendor, when=when) as gateway:
        gateway.post({"conversions": [bought(1), bought(2, value="39.90")]})
        gateway.drained()

    assert [hit["event"]["transaction_id"] for hit in vendor.came] == ["order-1"]


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ({"ad_storage": "granted"}, {"received": 1, "delivered": 1}),
        # The tag requires a signal, and there is none.
        ({}, {}),
        # By the source's rules, any denial counts.
        ({"ad_storage": "granted", "ad_user_data": "denied"}, SUPPRESSED),
        ({"ad_storage": "granted", "ad_personalization": "denied"}, SUPPRESSED),
    ],
)
def test_consent_is_checked_for_the_source_and_for_the_tag(tmp_path, x_emulator, said, counted):
    consent = '["ad_storage"]'
    with Vendor() as vendor, with_tag(tmp_path, x_emulator.url, vendor, consent=consent) as gateway:
        gateway.post(bought(consent=said))
        gateway.drained()
        found = [row for row in rows(gateway) if row["pixel"] == "tag:crm"]

    reported = {name: row[name] for row in found for name in counted}
    assert reported == counted
    assert vendor.count() == counted.get("delivered", 0)


def test_failed_tag_request_is_retried_with_the_same_body(tmp_path, x_emulator):
    with (
        Vendor(lambda before: 500 if before < 2 else 200) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor) as gateway,
    ):
        gateway.post(bought())
        gateway.drained()
        history = gateway.get("/v1/conversions/tag:crm/order-1")[1]

    assert vendor.count() == 3
    assert vendor.came[0] == vendor.came[1] == vendor.came[2]
    assert [attempt["outcome"] for attempt in history["attempts"]] == [
        "errored",
        "errored",
        "delivered",
    ]


def test_delivery_that_a_vendor_refuses_is_a_dead_letter(tmp_path, x_emulator):
    with (
        Vendor(lambda _: 422) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor) as gateway,
    ):
        gateway.post(bought())
        gateway.drained(seconds=150)
        dead = json.loads(command(gateway, "dead", "list", "--json").stdout)
        vendor.behaviour = lambda _: 200
        replay(gateway, "--all")
        after = gateway.drained()

    assert vendor.count() == 6
    assert "422" in str(dead)
    assert "no thanks" in str(dead)
    assert (after["dead"], after["delivered"]) == (0, 2)


@pytest.mark.parametrize(
    ("do", "sent", "ends"), [(replay, 1, "delivered"), (discard, 0, "suppressed")]
)
def test_order_held_for_its_amount_is_also_held_for_the_tag(tmp_path, x_emulator, do, sent, ends):
    with Vendor() as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor)
        gateway.config.write_text(
            gateway.config.read_text().replace(
                'pixel = "o8z6j"', 'pixel = "o8z6j"\nvalue_guard = "hold"'
            )
        )
        with gateway:
            gateway.post({"conversions": [bought(number) for number in range(100, 150)]})
            gateway.drained()
            receipt = gateway.post(bought(1, value="4990.00"))[1]
            waiting = gateway.drained()
            before = vendor.count()
            do(gateway, "order-1", "--pixel", "o8z6j")
            gateway.drained()
            histories = [
                gateway.get(f"/v1/conversions/{of}/order-1")[1] for of in ("o8z6j", "tag:crm")
            ]

    assert (receipt["held"], waiting["held"], before) == (1, 2, 50)
    assert [history["state"] for history in histories] == [ends, ends]
    assert vendor.count() == 50 + sent


@pytest.mark.parametrize(
    ("repeat", "asked", "state"),
    [("at_least_once", 2, "delivered"), ("at_most_once", 1, "held")],
)
def test_tag_run_interrupted_by_a_kill_repeats_or_is_held(
    tmp_path, x_emulator, repeat, asked, state
):
    with (
        Vendor(lambda before: None if before == 0 else 200) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor, repeat=f'"{repeat}"') as gateway,
    ):
        gateway.post(bought())
        wait_for(lambda: vendor.count() == 1)
        gateway.kill()
        with closing(sqlite3.connect(tmp_path / "twite.db")) as store, store:
            store.execute("UPDATE lease SET until = 0")  # the lease of the killed sender
        gateway.start()
        balance = gateway.drained()
        history = gateway.get("/v1/conversions/tag:crm/order-1")[1]

    assert vendor.count() == asked
    assert history["state"] == state
    assert (balance["received"], balance["balance"]) == (2, 0)


def test_tag_that_runs_at_most_once_is_held_without_a_response(tmp_path, x_emulator):
    with (
        Vendor(lambda _: None) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor, repeat='"at_most_once"') as gateway,
    ):
        gateway.post(bought())
        balance = gateway.drained()
        history = gateway.get("/v1/conversions/tag:crm/order-1")[1]

    assert vendor.count() == 1
    assert balance["held"] == 1
    assert history["reason"].startswith("it may have arrived already")


def test_held_tag_run_is_sent_by_a_confirmed_replay(tmp_path, x_emulator):
    with (
        Vendor(lambda before: 500 if before == 0 else 200) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor, repeat='"at_most_once"') as gateway,
    ):
        gateway.post(bought())
        before = gateway.drained()
        ambiguous = replay(gateway, "--all", "--held")
        between = gateway.drained()
        sure = replay(gateway, "--all", "--held", "--may-count-twice")
        after = gateway.drained()
        history = gateway.get("/v1/conversions/tag:crm/order-1")[1]

    assert (before["held"], between["held"], after["held"]) == (1, 1, 0)
    assert (ambiguous.returncode, json.loads(ambiguous.stdout)["replay"]) == (1, None)
    assert "and Twite repeats the request only if you confirm" in ambiguous.stderr
    assert (sure.returncode, json.loads(sure.stdout)["started"]) == (0, 1)
    assert [attempt["outcome"] for attempt in history["attempts"]] == ["errored", "delivered"]
    assert vendor.count() == 2


def test_template_that_hangs_delays_neither_x_nor_other_tags(tmp_path, x_emulator):
    loop = TEMPLATE.read_text().replace("const body =", "while (true) {}\nconst body =")
    with Vendor() as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor)
        (tmp_path / "loop.tpl").write_text(loop)
        with gateway.config.open("a") as config:
            config.write(
                '[[tag]]\nname = "loop"\ntemplate = "loop.tpl"\n'
                f'fields = {{ endpoint = "{vendor.url}" }}\n'
            )
        with gateway:
            gateway.post({"conversions": [bought(number) for number in range(50)]})
            wait_for(lambda: vendor.count() == 50)
            wait_for(lambda: row_of(gateway, "o8z6j")["delivered"] == 50)
            waiting = row_of(gateway, "tag:loop")

    assert (waiting["pending"], waiting["delivered"]) == (50, 0)


def test_tag_that_did_not_fire_is_counted_with_its_reason(tmp_path, x_emulator):
    consent = '["ad_storage"]'
    with Vendor() as vendor, with_tag(tmp_path, x_emulator.url, vendor, consent=consent) as gateway:
        gateway.post(bought())
        gateway.post({"event": "sign_up", "conversion_id": "visit-1", "email": EMAIL})
        gateway.drained()
        histories = [
            json.loads(command(gateway, "show", name, "--json").stdout)["conversions"][0]
            for name in ("order-1", "visit-1")
        ]
        shown = command(gateway, "show", "order-1").stdout
        of_the_tag = command(gateway, "show", "order-1", "--pixel", "tag:crm")
        status, asked = gateway.get("/v1/conversions/o8z6j/order-1")
        ignored = gateway.get("/v1/accounting")[1]["ignored"]
        metrics = gateway.get("/metrics")[1]["text"]

    why = {"tag": "tag:crm", "reason": "consent ad_storage"}
    assert [live["not_fired"] for live in histories] == [[why], [why | {"reason": NO_TRIGGER}]]
    assert "tag:crm      did not fire: consent ad_storage" in shown
    assert "tag:crm did not fire for order-1: consent ad_storage" in of_the_tag.stderr
    assert of_the_tag.returncode == 1
    assert (status, asked["not_fired"]) == (200, [why])
    assert {(tally["name"], tally["reason"], tally["times"]) for tally in ignored} == {
        ("tag:crm", "tag_consent", 1),
        ("tag:crm", "tag_trigger", 1),
    }
    counted = 'twite_tag_not_fired_total{pixel="tag:crm",reason="consent",source="shop"} 1.0'
    assert counted in metrics
    assert vendor.count() == 0


SIGNS = """___INFO___
{"type": "TAG", "displayName": "Signs"}
___SANDBOXED_JS_FOR_SERVER___
const hmacSha256 = require('hmacSha256');
const said = {signed: hmacSha256('order', 'shop', {outputEncoding: 'hex'})};
const options = {method: 'POST', headers: {'content-type': 'application/json'}};
require('sendHttpRequest')(data.endpoint, options, require('JSON').stringify(said));
data.gtmOnSuccess();
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "send_http", "versionId": "1"},
  "param": [{"key": "allowedUrls", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "use_custom_private_keys", "versionId": "1"},
  "param": [{"key": "keyIds", "value": {"type": 2, "listItem": [{"type": 1, "string": "shop"}]}}]}}]
"""


def test_tag_can_sign_with_a_configured_key_that_it_cannot_read(tmp_path, x_emulator):
    (tmp_path / "hmac.key").write_text("a key to sign with")
    with Vendor() as vendor:
        gateway = Gateway(tmp_path, x_emulator.url)
        (tmp_path / "signs.tpl").write_text(SIGNS)
        text = gateway.config.read_text().replace(
            "[server]", '[templates]\nhmac_keys = { shop = "file:hmac.key" }\n[server]'
        )
        gateway.config.write_text(
            text + '[[tag]]\nname = "signs"\ntemplate = "signs.tpl"\nconsent = []\n'
            f'allow_hosts = ["127.0.0.1"]\nfields = {{ endpoint = "{vendor.url}" }}\n'
        )
        with gateway:
            gateway.post(bought())
            gateway.drained()
            gateway.stop()
            log = gateway.log()

    signed = hmac.digest(b"a key to sign with", b"order", "sha256").hex()
    assert vendor.came == [{"signed": signed}]
    assert "a key to sign with" not in log
