"""Preview sessions show one person's requests live, and no others."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from gateway_processes import ENVIRONMENT, wait_for
from test_tag_cookies import GRANTED, PAGE, Browser, with_cookies
from vendor import Vendor

import fork_server
from command_schemas import problems

pytestmark = pytest.mark.journey

PURCHASE = "&ep.transaction_id=T-1&ep.user_data.email_address=shopper@mail.example"
PERSON = "shopper@mail.example"
MORE = """
when = [{ field = "event_name", operator = "equals", value = "view" }]
"""


@pytest.fixture(autouse=True)
def commands():
    """End the commands that a failed test has left behind."""
    yield
    for process in Preview.started:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
    Preview.started.clear()


class Preview:
    """`twite tag preview --json` alongside a gateway."""

    started: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, gateway, *more):
        self.process = fork_server.Popen(
            [
                *(sys.executable, "-m", "twite", "tag", "preview", "--json", *more),
                *("--config", str(gateway.config)),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self.started.append(self.process)
        self.lines = iter(self._read())
        self.token = next(self.lines)["token"]

    def _read(self):
        decoder, text = json.JSONDecoder(), ""
        for line in self.process.stdout:
            text += line
            try:
                found, end = decoder.raw_decode(text.lstrip())
            except ValueError:
                continue
            text = text.lstrip()[end:]
            assert problems("tag preview", json.dumps(found)) == []
            yield found

    def until(self, ready):
        """Return the first request that matches."""
        return next(seen for seen in self.lines if ready(seen))

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


class Previewing(Browser):
    """A browser that sends a token as a header or a cookie."""

    def __init__(self, gateway, token, *, header=True):
        super().__init__(gateway)
        self.token = token
        self.header = header
        if not header:
            self.jar["gtm_preview"] = token

    def more(self):
        return {"X-Gtm-Server-Preview": self.token} if self.header else {}


def both_ended(seen):
    """Return whether both the step before the response and the queued run have ended."""
    return [run["outcome"] != "running" for run in seen["runs"]] == [True, True]


@pytest.mark.parametrize("header", [True, False])
def test_preview_session_shows_only_requests_with_its_token(tmp_path, x_emulator, header):
    with Vendor() as vendor:
        gateway = with_cookies(tmp_path, x_emulator.url, vendor.url)
        gateway.config.write_text(gateway.config.read_text().replace("events = []\n", MORE))
        with gateway:
            preview = Preview(gateway)
            Browser(gateway).ga4(7)
            Previewing(gateway, preview.token, header=header).ga4(1, GRANTED + PURCHASE)
            seen = preview.until(both_ended)
            Previewing(gateway, preview.token, header=header).ask(
                "POST", "/data?v=2", b'{"event_name": "other"}'
            )
            other = preview.until(lambda seen: seen["number"] == 2 and seen["status"])
            preview.stop()
            gateway.drained()
            written = b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*"))
            log = gateway.log()

    assert (seen["number"], seen["client"], seen["status"], seen["path"]) == (
        1, "ga4", 200, "/g/collect",
    )  # fmt: skip
    [event] = seen["events"]
    assert event["name"] == "view"
    assert '"transaction_id"' in event["data"]
    assert [(tag["name"], tag["good"]) for tag in event["tags"]] == [("ads", True)]
    assert [(each["good"], each["value"]) for each in event["triggers"]] == [
        (True, "{{event_name}} equals view")
    ]
    [none] = other["events"]
    assert [(tag["name"], tag["good"]) for tag in none["tags"]] == [("ads", False)]
    assert [(each["good"], each["note"]) for each in none["triggers"]] == [(False, "other")]
    assert {value["name"]: value["value"] for value in none["variables"]}
    [first, run] = seen["runs"]
    assert (first["name"], first["outcome"]) == ("ads, before the response", "in time")
    assert {line["kind"] for line in first["lines"]} == {"cookie"}
    assert (run["name"], run["outcome"]) == ("ads", "success")
    kinds = [line["kind"] for line in run["lines"]]
    assert {"cookie", "request", "answer", "result"} <= set(kinds)
    assert "set_cookies" in run["permissions"]
    assert any(cookie.startswith("_adp=…") for cookie in seen["cookies"])
    assert vendor.count() == 2
    reported = json.dumps(seen)
    for secret in (PERSON, preview.token):
        assert secret not in reported
        assert secret.encode() not in written
        assert secret not in log


def test_preview_session_without_sending_shows_runs_and_stores_nothing(tmp_path, x_emulator):
    with (
        Vendor() as vendor,
        with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway,
    ):
        preview = Preview(gateway, "--send-nothing")
        browser = Previewing(gateway, preview.token)
        answer = browser.ask("GET", "/t?s=shop&event=purchase&conversion_id=O-1&twclid=abc123")
        seen = preview.until(both_ended)
        preview.stop()
        balance = gateway.balance()

    assert answer.status == 200
    assert (balance["received"], vendor.count()) == (0, 0)
    assert x_emulator.received()["entries"] == []
    assert seen["sent_nothing"] is True
    [first, run] = seen["runs"]
    assert (first["outcome"], run["outcome"]) == ("in time", "success")
    [request] = [line["text"] for line in run["lines"] if line["kind"] == "request"]
    assert '"event":"purchase"' in request
    [conversion] = seen["conversions"]
    assert (conversion["note"], "conversion_id" in conversion["value"]) == ("would be sent", True)


def test_unknown_preview_token_is_ignored(tmp_path, x_emulator):
    with Vendor() as vendor, with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway:
        preview = Preview(gateway, "--send-nothing")
        Previewing(gateway, "guessed" + preview.token[7:]).ga4(1)
        wait_for(lambda: vendor.count() == 1, gateway.ended)
        Previewing(gateway, preview.token).ga4(2)
        seen = next(preview.lines)
        preview.stop()
        Previewing(gateway, preview.token).ga4(3)
        wait_for(lambda: vendor.count() == 2, gateway.ended)

    assert seen["number"] == 1


def test_preview_session_requires_the_control_token(tmp_path, x_emulator):
    with Vendor() as vendor, with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway:
        body = json.dumps({"do": "preview_open", "audit_event": {"at": 1, "who": "a", "what": "x"}})
        request = urllib.request.Request(gateway.url + "/-/control", data=body.encode())
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)

    assert refused.value.code == 404
    refused.value.close()


def test_next_request_of_a_connection_is_not_part_of_the_preview(tmp_path, x_emulator):
    with Vendor() as vendor, with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway:
        preview = Preview(gateway, "--send-nothing")
        where = urlsplit(gateway.url)
        head = f"POST /data?v=2 HTTP/1.1\r\nHost: t.shop.example\r\nOrigin: {PAGE}\r\n"
        body = '{"event_name": "%s"}'
        both = "".join(
            f"{head}{more}Content-Length: {len(body % name)}\r\n\r\n{body % name}"
            for name, more in (
                ("first", f"X-Gtm-Server-Preview: {preview.token}\r\n"),
                ("other", ""),
            )
        )
        with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
            connection.sendall(both.encode())
            answers = b""
            while answers.count(b"HTTP/1.1 200") < 2:
                answers += connection.recv(65_536)
        wait_for(lambda: vendor.count() == 1, gateway.ended)
        seen = preview.until(lambda seen: seen["status"])
        preview.stop()
        balance = gateway.drained()

    assert [came["event"] for came in vendor.came] == ["other"]
    assert (seen["number"], seen["events"][0]["name"], balance["received"]) == (1, "first", 1)
