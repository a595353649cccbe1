import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest
from command_stage import HELD_ALERT as HELD

from builders import NOW
from twite.domain.alert import Acknowledgement, Alert, AlertKind, AlertPhase, Mute, mute_subject
from twite.domain.times import spelled
from twite.stores.sqlite import SQLiteStore

OVER = Alert(
    id="b",
    kind=AlertKind.DEAD_LETTERS,
    subject="o8z6j",
    reason="12 conversions are dead",
    opened_at=NOW,
    reported_at=NOW,
    unsent_phase=AlertPhase.RESOLVED,
    resolved_at=NOW + 1,
)


class Chat(BaseHTTPRequestHandler):
    """Records each message. Its server's setting decides whether it accepts or refuses."""

    def do_POST(self):
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.server.signed.append(self.headers["webhook-signature"])
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(b"no such \x1b[2Jchannel")

    def log_message(self, *_said):
        pass


@pytest.fixture
def chat():
    server = HTTPServer(("127.0.0.1", 0), Chat)
    server.bodies, server.signed, server.status = [], [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def with_webhook(path, chat, secret="", *, port=None):
    address = f"http://127.0.0.1:{port or chat.server_port}/hook?token=t0"
    line = f'\n[alerts]\nwebhook = "{address}"\n{secret}\n[[pixel]]'
    path.write_text(path.read_text().replace("\n[[pixel]]", line))
    return path


def store_alerts(path, *alerts, replies=()):
    async def keep():
        store = await SQLiteStore.open(str(path.parent / "twite.db"))
        for records in (alerts, *([reply] for reply in replies)):
            await store.put(records)
        await store.close()

    asyncio.run(keep())


def test_open_alerts_are_a_table_and_exit_1(command, shop):
    store_alerts(shop, HELD, OVER)

    code, out, err = command("alerts", "list", "--config", str(shop))

    [line] = [line for line in out.splitlines() if line[0] == "│"]
    assert (code, err) == (1, "")
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "conversions_held",
        "o8z6j",
        spelled(NOW),
        "3 conversions are held",
        "",
    ]
    assert out.endswith(
        "conversions_held: Run twite dead list, then twite dead replay ID or twite dead discard "
        "ID. The documentation has more, in Alerts: conversions_held\n"
    )


def test_open_alerts_are_printed_as_json(command, shop):
    store_alerts(shop, HELD, OVER)

    code, out, _ = command("alerts", "list", "--config", str(shop), "--json")

    assert code == 1
    assert json.loads(out)["alerts"] == [
        {
            "code": "conversions_held",
            "severity": "warning",
            "subject": "o8z6j",
            "reason": "3 conversions are held",
            "opened_at": spelled(NOW),
            "reported": True,
            "acknowledged_by": None,
            "muted_until": None,
            "fix": "Run twite dead list, then twite dead replay ID or twite dead discard ID.",
            "help": "Alerts: conversions_held",
        }
    ]


def test_no_open_alert_exits_0(command, shop):
    store_alerts(shop, OVER)

    assert command("alerts", "list", "--config", str(shop)) == (0, "No open alerts.\n", "")


def test_failed_webhook_messages_are_reported(command, shop, chat):
    store_alerts(shop, OVER)
    with_webhook(shop, chat)

    _, _, err = command("alerts", "list", "--config", str(shop))

    assert err == "The webhook has not accepted all messages yet. Run twite alerts test.\n"


def test_message_reaches_the_webhook_with_a_signature(command, shop, chat):
    with_webhook(shop, chat, 'secret = "between us"')

    code, out, _ = command("alerts", "test", "--config", str(shop))

    assert code == 0
    assert out == r"The webhook accepted the test message: 200 no such \x1b[2Jchannel" "\n"
    assert json.loads(chat.bodies[0])["event"] == "test"
    assert chat.signed[0].startswith("v1,")


@pytest.mark.parametrize("status", [302, 404, 500])
def test_refused_test_message_exits_1_with_the_response(command, shop, chat, status):
    chat.status = status
    with_webhook(shop, chat)

    code, out, err = command("alerts", "test", "--config", str(shop))

    assert (code, out) == (1, "")
    refused = rf"The webhook did not accept the test message: {status} no such \x1b[2Jchannel"
    assert err == f"{refused}\n"
    assert len(chat.bodies) == 1


def test_result_of_a_test_message_is_printed_as_json(command, shop, chat):
    chat.status = 410
    with_webhook(shop, chat)

    _, out, _ = command("alerts", "test", "--config", str(shop), "--json")

    assert json.loads(out) == {"taken": False, "status": 410, "reason": "answered 410"}


def test_unreachable_webhook_exits_1(command, shop):
    with_webhook(shop, None, port=1)

    code, _, err = command("alerts", "test", "--config", str(shop))

    assert code == 1
    refused = "The webhook did not accept the test message: no connection: ClientConnectorError"
    assert err == f"{refused}\n"


def test_message_without_a_webhook_is_an_error(command, shop):
    code, _, err = command("alerts", "test", "--config", str(shop))

    assert code == 1
    assert err.startswith("Error: alerts.webhook: is missing or cannot be read")


def test_message_needs_no_x_credentials(command, shop, chat, monkeypatch):
    with_webhook(shop, chat)
    monkeypatch.delenv("X_PIXEL_TOKEN")

    assert command("alerts", "test", "--config", str(shop))[0] == 0


def test_listed_alert_says_who_acknowledged_it_and_until_when_it_is_muted(command, shop, chat):
    with_webhook(shop, chat)
    until = 4_102_444_800_000  # 2100
    unsent = msgspec.structs.replace(HELD, unsent_phase=AlertPhase.OPENED)
    subject = mute_subject(*HELD.key)
    replies = [
        Acknowledgement(alert="a", at=NOW, who="olga"),
        Mute(subject=subject, until=until, at=NOW, who="ada"),
    ]
    store_alerts(shop, unsent, replies=replies)

    code, out, err = command("alerts", "list", "--config", str(shop))
    _, as_json, _ = command("alerts", "list", "--json", "--config", str(shop))

    assert (code, err) == (1, "")
    assert "acknowledged by olga, muted until 2100-01-01" in " ".join(out.split())
    [alert] = json.loads(as_json)["alerts"]
    assert (alert["acknowledged_by"], alert["muted_until"]) == ("olga", spelled(until))


def test_ended_mute_is_not_listed(command, shop):
    mute = Mute(subject=mute_subject(*HELD.key), until=NOW, at=0, who="ada")
    store_alerts(shop, HELD, replies=[mute])

    _, as_json, _ = command("alerts", "list", "--json", "--config", str(shop))

    assert json.loads(as_json)["alerts"][0]["muted_until"] is None
