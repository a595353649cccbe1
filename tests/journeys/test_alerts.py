"""Alerts by webhook: a real gateway, an X that refuses, and a webhook receiver."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from gateway_processes import PIXEL, TOKEN, Gateway, command, wait_for

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
REVOCATIONS = 50 if TRIAL else 1
LOAD = 10  # requests of 100 conversions
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

pytestmark = pytest.mark.journey


class Chat(BaseHTTPRequestHandler):
    """Accepts each message, or gives a preset response. Stores the message with its headers."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_said):
        pass


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Chat)
        self.received = []
        self.status = 204

    @property
    def said(self):
        return [json.loads(body) for _, body in self.received]

    def settings(self):
        address = f"http://127.0.0.1:{self.server_port}/hooks/T0"
        return f'[alerts]\nwebhook = "{address}"\nsecret = "{SECRET}"'


@pytest.fixture
def chat():
    server = Listener()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def a_purchase(conversion_id):
    return {
        "event": "purchase",
        "conversion_id": conversion_id,
        "email": "shopper@example.com",
        "value": "1",
        "currency": "EUR",
    }


def revoke(x):
    x.add(pixels=[{"id": PIXEL, "account": "18ce54d4x5t", "token": "another-token"}])


def restore(x):
    x.add(pixels=[{"id": PIXEL, "account": "18ce54d4x5t", "token": TOKEN}])


def signed(headers, body):
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()


def test_revoked_token_opens_an_alert_and_delays_deliveries(tmp_path, x_emulator, chat):
    with Gateway(tmp_path, x_emulator.url, extra=chat.settings()) as gateway:
        gateway.post(a_purchase("order-1"))
        gateway.drained()
        revoke(x_emulator)
        began = time.monotonic()

        gateway.post({"conversions": [a_purchase(f"late-{i}") for i in range(50)]})
        wait_for(lambda: bool(chat.received), seconds=60)
        took = time.monotonic() - began
        listed = command(gateway, "alerts", "list", "--json")
        gateway.kill()
        gateway.start()
        time.sleep(2)
        balance = gateway.balance()
        page = gateway.get("/metrics")[1]["text"]
        log = gateway.log()

    [(headers, body)] = chat.received
    [said] = chat.said
    assert headers["webhook-signature"] == signed(headers, body)
    assert (said["code"], said["subject"], said["event"], said["severity"]) == (
        "credentials_refused",
        PIXEL,
        "opened",
        "critical",
    )
    assert said["help"] == "Alerts: credentials_refused"
    assert said["reason"].startswith("X's response: 401")
    assert listed.returncode == 1
    assert [(load["code"], load["reported"]) for load in json.loads(listed.stdout)["alerts"]] == [
        ("credentials_refused", True)
    ]
    assert (balance["dead"], balance["pending"], balance["balance"]) == (0, 50, 0)
    assert f'twite_pixel_paused{{pixel="{PIXEL}"}} 1.0' in page
    series = f'twite_alert_open{{code="credentials_refused",subject="{PIXEL}"}}'
    assert f"{series} 1.0" in page
    assert log.count("alert opened") == 1
    print(f"told {took:.2f} s after the revocation")


@pytest.mark.timeout(1_200 if TRIAL else 300)
def test_token_revoked_under_load_only_delays_deliveries(tmp_path, x_emulator, chat, figure):
    took, balances = [], []
    for turn in range(REVOCATIONS):
        folder = tmp_path / str(turn)
        folder.mkdir()
        before = len(chat.received)
        with Gateway(folder, x_emulator.url, extra=chat.settings()) as gateway:
            for batch in range(LOAD):
                if batch == LOAD // 2:
                    revoke(x_emulator)
                    began = time.monotonic()
                ids = [f"{turn}-{batch}-{number}" for number in range(100)]
                gateway.post({"conversions": [a_purchase(id_) for id_ in ids]})
            wait_for(lambda before=before: len(chat.received) > before, seconds=60)
            took.append(time.monotonic() - began)
            restore(x_emulator)
            gateway.stop()
            gateway.start()
            balances.append(gateway.drained())

    codes = {said["code"] for said in chat.said}
    assert codes == {"credentials_refused"}
    assert {
        (balance["delivered"], balance["dead"], balance["balance"]) for balance in balances
    } == {(100 * LOAD, 0, 0)}
    figure(
        "a revoked token is told",
        f"{REVOCATIONS} revocations under load, {100 * LOAD * REVOCATIONS:,} conversions: told "
        f"within {max(took):.1f} s (a minute is promised), 0 given up, all delivered afterwards",
    )


def test_failed_webhook_message_keeps_its_id_after_a_restart(tmp_path, x_emulator, chat):
    chat.status = 500
    with Gateway(tmp_path, x_emulator.url, extra=chat.settings()) as gateway:
        revoke(x_emulator)
        gateway.post(a_purchase("order-1"))
        wait_for(lambda: bool(chat.received), seconds=60)
        refused = chat.received[0][0]["webhook-id"]
        gateway.stop()

        chat.status = 204
        before = len(chat.received)
        gateway.start()
        wait_for(lambda: len(chat.received) > before, seconds=60)

    assert chat.received[-1][0]["webhook-id"] == refused


def test_webhook_is_called_once_if_the_database_is_damaged(tmp_path, x_emulator, chat):
    with Gateway(tmp_path, x_emulator.url, extra=chat.settings()) as gateway:
        gateway.stop()
        (tmp_path / "twite.db").write_bytes(b"no database at all " * 1_000)

        codes = [command(gateway, "serve").returncode for _ in range(2)]

    assert codes == [1, 1]
    assert [(said["code"], said["subject"]) for said in chat.said] == [("store_unusable", "store")]


def test_restored_older_database_opens_an_alert(tmp_path, x_emulator, chat):
    older = tmp_path / "older.db"
    with Gateway(tmp_path, x_emulator.url, extra=chat.settings()) as gateway:
        gateway.post(a_purchase("order-1"))
        gateway.drained()
        gateway.stop()
        shutil.copy(tmp_path / "twite.db", older)
        gateway.start()
        gateway.post(a_purchase("order-2"))
        gateway.drained()
        gateway.stop()

        shutil.copy(older, tmp_path / "twite.db")
        gateway.start()
        wait_for(lambda: bool(chat.received))

    assert [(said["code"], said["severity"]) for said in chat.said] == [
        ("store_restored", "warning")
    ]


def test_nearly_full_disk_opens_an_alert_at_the_start(tmp_path, x_emulator, chat):
    # More than this machine can have free.
    extra = f'{chat.settings()}\ndisk_free = "1024GiB"'
    with Gateway(tmp_path, x_emulator.url, extra=extra):
        wait_for(lambda: bool(chat.received))

    assert [(said["code"], said["subject"]) for said in chat.said] == [
        ("disk_nearly_full", "store")
    ]


def test_balance_other_than_0_opens_an_alert_at_start_and_stop(tmp_path, x_emulator, chat):
    with Gateway(tmp_path, x_emulator.url, extra=chat.settings()) as gateway:
        gateway.post(a_purchase("order-1"))
        gateway.drained()
        gateway.stop()
        with closing(sqlite3.connect(tmp_path / "twite.db")) as connection, connection:
            connection.execute("UPDATE account SET received = received + 1")
        connection.close()

        gateway.start()
        wait_for(lambda: bool(chat.received))
        page = gateway.get("/metrics")[1]["text"]
        at_the_start = gateway.log().count("are unaccounted for")
        accounting = command(gateway, "accounting")
        gateway.stop()

    assert [(said["code"], said["subject"]) for said in chat.said] == [
        ("balance_residue", f"shop/{PIXEL}")
    ]
    assert f'{{pixel="{PIXEL}",source="shop",state="balance"}} 1.0' in page
    assert accounting.returncode == 1
    assert gateway.log().count("are unaccounted for") > at_the_start > 0


def test_twite_alerts_test_calls_the_webhook(tmp_path, x_emulator, chat):
    with Gateway(tmp_path, x_emulator.url, extra=chat.settings()) as gateway:
        tried = command(gateway, "alerts", "test")

    assert (tried.returncode, tried.stdout) == (0, "The webhook accepted the test message: 204\n")
    assert chat.said[0]["event"] == "test"
