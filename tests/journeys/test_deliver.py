"""From the client's socket to X's socket, through real processes."""

import json
import sys
import urllib.error
import urllib.request

import pytest
from gateway_processes import ENVIRONMENT, PIXEL, TOKEN, Gateway, command, replay, wait_for

import fork_server

OAUTH = (
    '{ consumer_key = "xvz1evFS4wEEPTGEFPHBog", '
    'consumer_secret = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", '
    'token = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", '
    'token_secret = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE" }'
)

# The digests that X documents.
EMAIL = "e586883b2b4faf78d48300a79e0e15138d664cdf796ffb86e533170a9893eda8"
PHONE = "40d3f4e02db27d66cf4cfdda506c2c945f115a7955cc8491dda98ce5beabcda0"

pytestmark = pytest.mark.journey


def a_purchase(conversion_id, **more):
    return {
        "event": "purchase",
        "conversion_id": conversion_id,
        "time": "2026-11-24T10:00:00+01:00",
        "value": "49.9",
        "currency": "eur",
        "email": " Test-Email@test.com",
        "phone": "+1 (415) 555-0100",
    } | more


def ids_of(x, event="o8z6k"):
    return x.counted()["pixels"][PIXEL]["events"][event]["ids"]


def bodies_of(x):
    entries = x.received(bodies=True)["entries"]
    return [load for entry in entries for load in json.loads(entry["body"])["conversions"]]


@pytest.mark.parametrize("auth", [None, OAUTH], ids=["pixel token", "oauth 1.0a"])
def test_conversion_reaches_x_hashed_and_normalized(tmp_path, x_emulator, auth):
    with Gateway(tmp_path, x_emulator.url, auth=auth) as gateway:
        status, receipt = gateway.post(a_purchase("order-1"))
        gateway.drained()

    assert status == 202
    assert (receipt["accepted"], receipt["duplicates"], receipt["rejected"]) == (1, 0, [])
    assert bodies_of(x_emulator) == [
        {
            "conversion_time": "2026-11-24T09:00:00.000Z",
            "event_id": "o8z6k",
            "identifiers": [
                {"hashed_email": EMAIL},
                {"hashed_phone_number": PHONE},
            ],
            "conversion_id": "order-1",
            "value": "49.90",
            "price_currency": "EUR",
        }
    ]


def test_duplicate_is_not_sent_to_x(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        gateway.post(a_purchase("order-1"))
        gateway.drained()
        _, receipt = gateway.post(a_purchase("order-1", value="1.00"))
        balance = gateway.drained()
        _, history = gateway.get(f"/v1/conversions/{PIXEL}/order-1")

    assert (receipt["accepted"], receipt["duplicates"]) == (0, 1)
    assert (balance["received"], balance["delivered"], balance["duplicate"]) == (2, 1, 1)
    assert ids_of(x_emulator)["order-1"]["api"] == 1
    assert (history["state"], history["duplicates"]) == ("delivered", 1)


def test_client_of_xs_api_only_changes_its_host(tmp_path, x_emulator):
    body = {
        "conversions": [
            {
                "conversion_time": "2026-11-24T10:00:00.000Z",
                "event_id": "tw-o8z6j-o8z6m",
                "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
                "conversion_id": "lead-7",
            }
        ]
    }
    with Gateway(tmp_path, x_emulator.url) as gateway:
        status, answer = post_to_x(gateway.url, body, {"X-Pixel-Token": TOKEN})
        # A source's balance does not include what came by X's route.
        wait_for(lambda: x_emulator.received()["requests"] > 0)

    assert status == 200
    assert answer["data"]["conversions_processed"] == 1
    assert answer["request"] == {"params": {"account_id": "18ce54d4x5t"}}
    assert ids_of(x_emulator, "o8z6m")["lead-7"] == {
        "api": 1,
        "pixel": 0,
        "counted": 1,
        "kept": "api",
    }


def post_to_x(url, body, headers):
    request = urllib.request.Request(
        f"{url}/12/measurement/conversions/{PIXEL}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_conversion_that_x_refuses_is_dead_without_its_batch(tmp_path, x_emulator):
    # X refuses IPv6, which the gateway cannot know beforehand.
    x_emulator.switch(allow_ipv6=False)
    good = [a_purchase(f"order-{i}", ip=f"203.0.113.{i}", user_agent="UA") for i in range(99)]
    bad = a_purchase("order-bad", ip="2001:db8::1", user_agent="UA")
    with Gateway(tmp_path, x_emulator.url) as gateway:
        gateway.post({"conversions": [*good[:40], bad, *good[40:]]})
        balance = gateway.drained()
        dead = command(gateway, "dead", "list", "--json")

    requests = x_emulator.received()["requests"]
    assert (balance["delivered"], balance["dead"], balance["balance"]) == (99, 1, 0)
    assert "order-bad" in dead.stdout
    assert requests <= 16


def test_conversion_with_a_lost_response_is_sent_again_with_the_same_id(tmp_path, x_emulator):
    x_emulator.switch(dedup_scope="all")
    x_emulator.fault("drop_answer")
    with Gateway(tmp_path, x_emulator.url) as gateway:
        gateway.post(a_purchase("order-1"))
        gateway.drained()
        _, history = gateway.get(f"/v1/conversions/{PIXEL}/order-1")

    first, second = bodies_of(x_emulator)
    assert first == second
    assert ids_of(x_emulator)["order-1"]["counted"] == 1
    assert [(attempt["outcome"], attempt["ambiguous"]) for attempt in history["attempts"]] == [
        ("errored", True),
        ("delivered", False),
    ]


@pytest.mark.parametrize(
    "fault",
    [
        ("status", {"status": 500}),
        ("status", {"status": 503, "headers": {"retry-after": "1"}}),
        ("status", {"status": 408}),
        ("html", {"status": 502}),
        ("reset", {}),
        ("cut_off", {}),
        ("truncated_json", {}),
        ("empty", {}),
        ("wrong_processed", {"processed": 0}),
        ("gzip_lie", {}),
        ("gzip_bomb", {"bytes": 20_000_000}),
        ("huge_body", {"bytes": 5_000_000}),
        ("rate_limit", {"seconds": 1}),
        ("stall", {"seconds": 2}),
        ("trickle", {"seconds": 0.5}),
    ],
    ids=lambda fault: f"{fault[0]} {fault[1].get('status', '')}".strip(),
)
def test_conversions_are_delivered_after_a_temporary_failure_of_x(tmp_path, x_emulator, fault):
    kind, more = fault
    x_emulator.fault(kind, **more)
    gateway = Gateway(tmp_path, x_emulator.url)
    settings = gateway.config.read_text()
    gateway.config.write_text(settings.replace('timeout = "5s"', 'timeout = "1s"'))
    with gateway:
        gateway.post({"conversions": [a_purchase("order-1"), a_purchase("order-2")]})
        balance = gateway.drained(seconds=40)

    assert (balance["delivered"], balance["balance"]) == (2, 0)
    assert ids_of(x_emulator).keys() == {"order-1", "order-2"}


def test_refused_token_pauses_the_pixel_until_it_is_corrected(tmp_path, x_emulator):
    wrong = '{ pixel_token = "wrong-token-wrong-token" }'
    with Gateway(tmp_path, x_emulator.url, auth=wrong) as gateway:
        gateway.post(a_purchase("order-1"))
        wait_for(lambda: "twite_pixel_paused" in metrics(gateway) and paused(gateway))
        before = gateway.balance()
        gateway.stop()
        edited = Gateway(tmp_path, x_emulator.url)
        with edited:
            after = edited.drained()

    assert (before["pending"], before["dead"]) == (1, 0)
    assert after["delivered"] == 1
    assert "pixel paused" in gateway.log()


def metrics(gateway):
    return str(gateway.get("/metrics")[1].get("text", ""))


def paused(gateway):
    return 'twite_pixel_paused{pixel="o8z6j"} 1.0' in metrics(gateway)


def test_second_gateway_on_the_same_sqlite_file_exits_with_a_message(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        second = fork_server.run(
            [sys.executable, "-m", "twite", "serve", "--config", str(gateway.config)],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            timeout=20,
            check=False,
        )
        status, _ = gateway.post(a_purchase("order-1"))
        pid = gateway.process.pid

    assert second.returncode == 1
    assert f"process {pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert status == 202


def test_dead_letter_is_replayed_through_the_running_gateway(tmp_path, x_emulator):
    x_emulator.fault("status", status=400)
    with Gateway(tmp_path, x_emulator.url) as gateway:
        gateway.post(a_purchase("order-1"))
        wait_for(lambda: gateway.balance()["dead"] == 1)
        replayed = replay(gateway, "--all")
        balance = gateway.drained()
        _, history = gateway.get(f"/v1/conversions/{PIXEL}/order-1")

    assert replayed.returncode == 0, replayed.stderr
    assert (balance["delivered"], balance["dead"]) == (1, 0)
    assert [attempt["outcome"] for attempt in history["attempts"]] == ["rejected", "delivered"]


def test_commands_can_read_the_store_of_a_running_gateway(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        gateway.post(a_purchase("order-1"))
        gateway.drained()
        shown = command(gateway, "show", "order-1", "--json")
        accounting = command(gateway, "accounting", "--json")

    assert shown.returncode == accounting.returncode == 0
    assert '"delivered"' in shown.stdout
    assert json.loads(accounting.stdout)["balance"] == 0


def test_conversion_sent_by_pixel_and_api_is_counted_once_by_x(tmp_path, x_emulator):
    hit = "/1/i/adsct?txn_id=o8z6k&event=%7B%22conversion_id%22%3A%22order-1%22%7D"
    with urllib.request.urlopen(x_emulator.url + hit, timeout=5) as gif:
        assert gif.status == 200
    with Gateway(tmp_path, x_emulator.url) as gateway:
        gateway.post(a_purchase("order-1"))
        gateway.drained()

    assert ids_of(x_emulator)["order-1"] == {"api": 1, "pixel": 1, "counted": 1, "kept": "pixel"}


def test_denied_conversion_is_counted_and_not_sent(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        status, receipt = gateway.post(a_purchase("order-1", consent={"ad_storage": "denied"}))
        balance = gateway.drained()
        _, history = gateway.get(f"/v1/conversions/{PIXEL}/order-1")

    assert status == 202
    assert (receipt["accepted"], receipt["suppressed"]) == (0, 1)
    assert (balance["suppressed"], balance["balance"]) == (1, 0)
    assert (history["state"], history["reason"]) == ("suppressed", "consent_denied: ad_storage")
    assert x_emulator.received()["requests"] == 0
