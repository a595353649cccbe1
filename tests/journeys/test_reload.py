"""A running gateway reloads changed settings: SIGHUP and `twite reload`."""

import http.client
import json
import os
import signal
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gateway_processes import KEY, PIXEL, Gateway, PostgresGateway, command, wait_for

pytestmark = pytest.mark.journey

SECOND_PIXEL = "o6dkt"
SECOND_KEY = "second-key-second-key-second"
PIXEL_TABLE = """
[[pixel]]
id = "o6dkt"
auth = { pixel_token = "emulator-pixel-token-o6dkt" }
events = { purchase = "o6dkv" }
"""
SECOND = f"""{PIXEL_TABLE}
[[source]]
name = "second"
key = "{SECOND_KEY}"
pixel = "o6dkt"
"""


class Connection:
    """A keep-alive connection that never reconnects."""

    def __init__(self, gateway, key):
        self._key = key
        self._http = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=30)
        self._http.auto_open = 0
        self._http.connect()

    def post(self, number, **more):
        """Post a conversion; return the status and the JSON of the answer."""
        purchase = {"event": "purchase", "conversion_id": f"order-{number}", "twclid": "abc"}
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._http.request("POST", "/v1/conversions", json.dumps(purchase | more), headers)
        answer = self._http.getresponse()
        return answer.status, json.loads(answer.read())

    def post_as_x(self):
        """Post to X's route for the second pixel, with its token; return the status."""
        path, token = (
            f"/12/measurement/conversions/{SECOND_PIXEL}",
            f"emulator-pixel-token-{SECOND_PIXEL}",
        )
        conversion = {
            "conversion_time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "event_id": "o6dkv",
            "identifiers": [{"twclid": "abc"}],
            "conversion_id": "x-1",
        }
        body = {"conversions": [conversion]}
        headers = {"X-Pixel-Token": token, "Content-Type": "application/json"}
        self._http.request("POST", path, json.dumps(body), headers)
        answer = self._http.getresponse()
        answer.read()
        return answer.status

    def close(self):
        self._http.close()


@contextmanager
def connected(gateway, key=KEY):
    connection = Connection(gateway, key)
    try:
        yield connection
    finally:
        connection.close()


def add(gateway, text):
    gateway.config.write_text(gateway.config.read_text() + text)


def replace(gateway, old, new):
    before = gateway.config.read_text()
    assert old in before
    gateway.config.write_text(before.replace(old, new))


def reload(gateway, *options):
    """Return the exit code and the report of `twite reload`."""
    done = command(gateway, "reload", "--json", *options)
    return done.returncode, json.loads(done.stdout)


def workers_of(gateway):
    pid = gateway.process.pid
    return {int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def statuses_of(gateway, key):
    """Return the statuses of posts on several connections, which all workers accept."""
    found = set()
    for number in range(20):
        try:
            with connected(gateway, key) as connection:
                found.add(connection.post(number)[0])
        except (OSError, http.client.HTTPException):  # the worker was killed
            found.add(None)
    return found


def delivered_to(x_emulator, pixel, event):
    events = x_emulator.counted()["pixels"].get(pixel, {}).get("events", {})
    return list(events.get(event, {}).get("ids", []))


def test_reloaded_pixel_and_source_deliver_without_a_restart(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway, connected(gateway, SECOND_KEY) as second:
        before = second.post(1)[0]
        add(gateway, SECOND)
        code, report = reload(gateway)
        after = second.post(2)[0]
        gateway.drained()
        wait_for(lambda: delivered_to(x_emulator, SECOND_PIXEL, "o6dkv") != [], gateway.ended)

    assert (code, report["result"], report["restart"]) == (0, "reloaded", [])
    assert report["changes"] == ["pixel o6dkt added", "source second added"]
    assert (before, after) == (401, 202)
    assert delivered_to(x_emulator, SECOND_PIXEL, "o6dkv") == ["order-2"]


def test_reload_refuses_a_removed_source_at_once_and_others_continue(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        first = gateway.config.read_text()
        add(gateway, SECOND)
        reload(gateway)
        with connected(gateway) as shop, connected(gateway, SECOND_KEY) as second:
            as_x = [second.post_as_x()]
            before = [shop.post(1)[0], shop.post(2)[0], second.post(1)[0], second.post(2)[0]]
            gateway.config.write_text(first)
            reload(gateway)
            after = [shop.post(3)[0], second.post(3)[0]]
            as_x.append(second.post_as_x())
        balance = gateway.drained()

    assert (before, after) == ([202] * 4, [202, 401])
    assert as_x == [200, 404]
    assert balance["received"] == 3


def test_reloaded_keys_and_events_apply_to_the_next_request(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        with connected(gateway) as old, connected(gateway, "another-key-another-key") as new:
            before = old.post(1)[0], new.post(1)[0]
            replace(gateway, KEY, "another-key-another-key")
            replace(gateway, "sign_up =", "registration =")
            report = reload(gateway)[1]
            after = old.post(2)[0], new.post(2, event="registration")[0]
        gateway.key = "another-key-another-key"
        gateway.drained()

    assert report["changes"] == ["pixel o8z6j changed: events", "source shop changed: key"]
    assert (before, after) == ((202, 401), (401, 202))
    assert delivered_to(x_emulator, PIXEL, "o8z6m") == ["order-2"]


def test_reloaded_consent_policy_applies_to_new_and_queued_conversions(tmp_path, x_emulator):
    denied = {"consent": {"ad_user_data": "denied"}, "email": "a@shop.example"}
    policy = 'region = "GB"\nconsent_policy.user_data_denied = '
    with Gateway(tmp_path, x_emulator.url) as gateway:
        replace(gateway, 'region = "GB"', f'{policy}"strip"')
        reload(gateway)
        x_emulator.fault("status", status=503, count=0)
        with connected(gateway) as shop:
            before = shop.post(1, **denied)[1]
            replace(gateway, '"strip"', '"suppress"')
            report = reload(gateway)[1]
            after = shop.post(2, **denied)[1]
        x_emulator.clear_faults()
        balance = gateway.drained()

    assert report["changes"] == ["source shop changed: consent_policy.user_data_denied"]
    assert (before["suppressed"], after["suppressed"]) == (0, 1)
    assert (balance["suppressed"], balance["delivered"]) == (2, 0)


def test_reloaded_credentials_are_used_and_end_the_pause(tmp_path, x_emulator):
    wrong = '{ pixel_token = "a-wrong-token" }'
    with Gateway(tmp_path, x_emulator.url, auth=wrong) as gateway, connected(gateway) as shop:
        shop.post(1)
        wait_for(lambda: "paused" in gateway.log(), gateway.ended)
        replace(gateway, wrong, f'{{ pixel_token = "emulator-pixel-token-{PIXEL}" }}')
        report = reload(gateway)[1]
        balance = gateway.drained()

    assert report["changes"] == ["pixel o8z6j changed: auth"]
    assert (balance["delivered"], balance["balance"]) == (1, 0)


def test_reload_of_an_invalid_file_names_its_errors_and_changes_nothing(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        replace(gateway, "timeout =", "timeot =")
        replace(gateway, 'region = "GB"', "region = 3")
        lines = gateway.config.read_text().splitlines()
        places = [
            f"{gateway.config}:{number}: {key}"
            for number, line in enumerate(lines, 1)
            for begin, key in (("timeot", "x.timeot"), ("region", "source[0].region"))
            if line.startswith(begin)
        ]
        by_command = command(gateway, "reload")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "settings not reloaded" in gateway.log(), gateway.ended)
        status = gateway.post({"event": "purchase", "conversion_id": "1", "twclid": "abc"})[0]
        log = gateway.log()

    assert len(places) == 2
    assert by_command.returncode == 1
    assert all(place in by_command.stderr for place in places), by_command.stderr
    assert "keeps the old settings" in by_command.stderr
    assert all(place in log for place in places), log
    assert status == 202


def test_dry_run_of_a_reload_reports_what_the_reload_then_does(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway, connected(gateway, SECOND_KEY) as second:
        add(gateway, SECOND)
        replace(gateway, "timeout = ", "in_flight = 2\ntimeout = ")
        dry = reload(gateway, "--dry-run")
        between = second.post(1)[0]
        real = reload(gateway)
        after = second.post(2)[0]
        again = reload(gateway)[1]
        page = gateway.get("/metrics")[1]["text"]

    assert dry == real
    assert (dry[1]["restart"], between, after) == (["x.in_flight"], 401, 202)
    assert (again["result"], again["changes"]) == ("unchanged", [])
    assert 'twite_reloads_total{result="reloaded"} 1' in page
    assert 'twite_reloads_total{result="unchanged"} 1' in page


def test_sighup_reloads_the_settings(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway, connected(gateway, SECOND_KEY) as second:
        replace(gateway, 'level = "warning"', 'level = "info"')
        add(gateway, SECOND)
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: second.post(1)[0] == 202, gateway.ended)
        stopped = gateway.stop()

    assert stopped == 0


def test_reload_without_a_running_gateway_says_so(tmp_path, x_emulator):
    done = command(Gateway(tmp_path, x_emulator.url), "reload")

    assert done.returncode == 1
    assert "no gateway is running" in done.stderr


def test_source_key_is_changed_by_a_reload_without_a_restart(tmp_path, x_emulator):
    (tmp_path / "twite.secret").write_text("a-key-that-seals-for-a-journey")
    key = 'listen = "127.0.0.1:0"\nsecret_key = "file:twite.secret"'
    gateway = Gateway(tmp_path, x_emulator.url)
    replace(gateway, 'listen = "127.0.0.1:0"', key)
    with gateway:
        rotated = command(gateway, "rotate-key")
        before = reload(gateway)[1]["restart"]
        (tmp_path / "twite.secret").write_text("another-key-that-nobody-uses-yet")
        after = reload(gateway)[1]["restart"]

    assert rotated.returncode == 0, rotated.stderr
    assert (before, after) == ([], ["server.secret_key"])


def test_reload_reaches_all_workers_and_also_one_started_later(tmp_path, x_emulator, postgres_url):
    with PostgresGateway(tmp_path, x_emulator.url, postgres_url, extra="workers = 2") as gateway:
        add(gateway, SECOND)
        report = reload(gateway)[1]
        statuses = statuses_of(gateway, SECOND_KEY)
        before = workers_of(gateway)
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda: len(workers_of(gateway) - before) == 1, gateway.ended)
        wait_for(lambda: statuses_of(gateway, SECOND_KEY) == {202}, gateway.ended)
        replaced = statuses_of(gateway, SECOND_KEY)
        replace(gateway, SECOND_KEY, "third-key-third-key-third-key")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: statuses_of(gateway, SECOND_KEY) == {401}, gateway.ended)

    assert (report["result"], report["processes"], statuses) == ("reloaded", 2, {202})
    assert replaced == {202}


def test_reload_makes_other_gateways_read_their_own_files(tmp_path, x_emulator, postgres_url):
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    first, other = (PostgresGateway(folder, x_emulator.url, postgres_url) for folder in folders)
    with first, other:
        add(first, SECOND)
        add(other, SECOND)
        report = reload(first)[1]
        with connected(other, SECOND_KEY) as second:
            wait_for(lambda: second.post(1)[0] == 202, other.ended)
        wait_for(
            lambda: delivered_to(x_emulator, SECOND_PIXEL, "o6dkv") == ["order-1"], other.ended
        )

    assert report["result"] == "reloaded"
