"""A source in test mode: only the built-in emulator gets its conversions, whatever happens."""

import json
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from gateway_processes import PIXEL, Gateway, PostgresGateway, command, wait_for

from canaries import EMAIL, NAME, PHONE

pytestmark = pytest.mark.journey
TEST_PIXEL = f"test:{PIXEL}"
ORDER = {
    "event": "purchase", "conversion_id": "order-1", "email": EMAIL, "phone": PHONE,
    "value": "49.90", "currency": "EUR",
}  # fmt: skip


def in_test(gateway, *, seconds=3_600, reload=False):
    """Put the source, which is the last table of the file, into test mode."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    line = f'test_until = "{until:%Y-%m-%dT%H:%M:%S}Z"\n'
    gateway.config.write_text(without_test_mode(gateway) + line)
    if reload:
        reloaded(gateway)


def without_test_mode(gateway):
    lines = gateway.config.read_text().splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("test_until"))


def reloaded(gateway):
    assert command(gateway, "reload").returncode == 0


def counts_of(gateway):
    return gateway.get("/v1/accounting")[1].get("tests", [])


def settled(gateway):
    """Wait until no test conversion is pending; return the counts of tests."""
    wait_for(
        lambda: (some := counts_of(gateway)) and not any(each["pending"] for each in some),
        gateway.ended,
    )
    return counts_of(gateway)


@pytest.fixture(params=["sqlite", "postgres"])
def gateway(request, tmp_path, x_emulator):
    if request.param == "sqlite":
        return Gateway(tmp_path, x_emulator.url)
    url = request.getfixturevalue("postgres_url")
    return PostgresGateway(tmp_path, x_emulator.url, url)


def requests_at(x_emulator):
    return x_emulator.received()["entries"]


def test_emulator_judges_a_source_in_test_mode_and_x_gets_nothing(gateway, x_emulator):
    in_test(gateway)
    with gateway:
        status, receipt = gateway.post(ORDER)
        again = gateway.post(ORDER)[1]
        refused = gateway.post({"event": "purchse", "conversion_id": "order-2", "email": EMAIL})[1]
        counts = settled(gateway)
        total = gateway.balance()
        history = gateway.get(f"/v1/conversions/{TEST_PIXEL}/order-1")[1]
        real = gateway.get(f"/v1/conversions/{PIXEL}/order-1")[0]
        rejections = gateway.get("/v1/rejections")[1]["rejections"]
        shown = json.loads(command(gateway, "show", "order-1", "--json").stdout)["conversions"]
        log = gateway.log()
        gateway.stop()

    assert (status, receipt["accepted"], receipt["test"]) == (202, 1, True)
    assert (again["duplicates"], again["test"], refused["test"]) == (1, True, True)
    assert {(each["source"], each["pixel"]) for each in counts} == {
        ("test:shop", TEST_PIXEL),
    }
    assert [(each["delivered"], each["duplicate"], each["rejected"]) for each in counts] == [
        (1, 1, 1)
    ]
    assert (total["received"], total["balance"]) == (0, 0)
    assert (history["state"], history["test"], history["pixel"]) == ("delivered", True, TEST_PIXEL)
    assert history["attempts"][0]["status"] == 200
    assert "debug_id" in history["attempts"][0]["answer"]
    assert real == 404
    assert [(each["source"], each["pixel"]) for each in rejections] == [("test:shop", TEST_PIXEL)]
    assert [(each["pixel"], each["test"]) for each in shown] == [(TEST_PIXEL, True)]
    assert requests_at(x_emulator) == []
    assert not any(canary in log for canary in (EMAIL, PHONE, NAME))


def test_waiting_tests_never_reach_x_after_a_kill_and_after_the_switch_is_off(gateway, x_emulator):
    in_test(gateway)
    with gateway:
        for number in range(200):
            gateway.post({**ORDER, "conversion_id": f"order-{number}"})
        gateway.kill()
        gateway.config.write_text(without_test_mode(gateway))
        gateway.start()
        counts = settled(gateway)
        receipt = gateway.post(ORDER)[1]
        total = gateway.drained()
        gateway.stop()

    assert sum(each["delivered"] for each in counts) == 200
    # A test of the same order does not make the real one a duplicate.
    assert (receipt["accepted"], receipt["duplicates"], "test" in receipt) == (1, 0, False)
    assert (total["received"], total["delivered"]) == (1, 1)
    (request,) = requests_at(x_emulator)
    assert request["conversions"] == 1


def test_test_mode_ends_by_itself_and_by_a_reload(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)
    with gateway:
        before = gateway.post({**ORDER, "conversion_id": "order-1"})[1]
        in_test(gateway, reload=True)
        tested = gateway.post({**ORDER, "conversion_id": "order-2"})[1]
        gateway.config.write_text(without_test_mode(gateway))
        reloaded(gateway)
        after = gateway.post({**ORDER, "conversion_id": "order-2"})[1]
        in_test(gateway, seconds=3, reload=True)
        tested_again = gateway.post({**ORDER, "conversion_id": "order-3"})[1]
        wait_for(
            lambda: "test" not in gateway.post({**ORDER, "conversion_id": "order-4"})[1],
            gateway.ended,
        )
        total = gateway.drained()
        gateway.stop()

    marks = ["test" in receipt for receipt in (before, tested, after, tested_again)]
    assert marks == [False, True, False, True]
    assert total["delivered"] == 3
    assert sum(entry["conversions"] for entry in requests_at(x_emulator)) == 3


def test_requests_with_one_idempotency_key_are_apart(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)
    in_test(gateway)
    with gateway:
        tested = posted_with_key(gateway)
        gateway.config.write_text(without_test_mode(gateway))
        reloaded(gateway)
        real = posted_with_key(gateway)
        total = gateway.drained()
        gateway.stop()

    assert (tested["accepted"], real["accepted"]) == (1, 1)
    assert tested["receipt"] != real["receipt"]
    assert total["delivered"] == 1


def posted_with_key(gateway):
    request = urllib.request.Request(
        f"{gateway.url}/v1/conversions",
        json.dumps(ORDER).encode(),
        {
            "Authorization": f"Bearer {gateway.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": "once",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_two_gateways_of_a_store_send_only_the_real_ones_to_x(tmp_path, x_emulator, postgres_url):
    gateways = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        gateways.append(PostgresGateway(folder, x_emulator.url, postgres_url))
    tests, real = gateways
    in_test(tests)
    with tests, real:
        for number in range(20):
            tests.post({**ORDER, "conversion_id": f"test-{number}"})
            real.post({**ORDER, "conversion_id": f"order-{number}"})
        counts = settled(real)
        total = real.drained()
        # The other gateway takes over what the first one has left.
        tests.post({**ORDER, "conversion_id": "test-last"})
        tests.kill()
        left = settled(real)
        real.stop()

    assert sum(each["delivered"] for each in counts) == 20
    assert sum(each["delivered"] for each in left) == 21
    assert total["delivered"] == 20
    sent = [entry["conversions"] for entry in requests_at(x_emulator)]
    assert sum(sent) == 20
