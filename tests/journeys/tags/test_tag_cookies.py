"""Cookies of tags: a browser's jar over real sockets, and a vendor that gets the same values."""

import http.client
import json
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from gateway_processes import Gateway, wait_for
from vendor import Vendor

pytestmark = pytest.mark.journey

TEMPLATES = Path(__file__).parents[2] / "tags/templates"
PAGE = "https://shop.example"
HOST = "t.shop.example"
GRANTED = "&gcs=G111"
CLICK = "23opevjt88psuo13lu8d020qkn"
# Generous, so that the test passes on a busy machine.
PATIENT = "5s"
METRICS_KEY = "metrics-key-metrics-key"


class Browser:
    """A browser on a page of the shop, with a jar for the cookies of responses."""

    def __init__(self, gateway: Gateway, *, page: str = PAGE) -> None:
        self.gateway = gateway
        self.page = page
        self.jar: dict[str, str] = {}
        self.set: list[str] = []

    def ask(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        where = urlsplit(self.gateway.url)
        headers = {"Host": HOST, "Origin": self.page, "User-Agent": "Mozilla/5.0 (X11; Linux)"}
        headers |= self.more()
        if self.jar:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.text = answer.read().decode("latin-1")
        connection.close()
        self.set = answer.headers.get_all("set-cookie") or []
        for cookie in self.set:
            pair, *attributes = cookie.split("; ")
            assert "Secure" in attributes
            if "Domain=shop.example" in attributes:
                name, _, value = pair.partition("=")
                self.jar[name] = value
        return answer

    def more(self) -> dict[str, str]:
        """Return further headers."""
        return {}

    def ga4(self, number: int, more: str = GRANTED) -> http.client.HTTPResponse:
        page = f"{PAGE}/{number}" + ("?adclid=C1" if number == 1 else "")
        return self.ask(
            "POST", f"/g/collect?v=2&tid=G-1&cid=1.2&_p={number}&_s=1&en=view{more}&dl={page}"
        )

    def data(self, number: int) -> http.client.HTTPResponse:
        page = f"{PAGE}/{number}" + ("?adclid=C1" if number == 1 else "")
        event = {"event_name": "view", "page_location": page, "n": number}
        event["consent_state"] = {"ad_storage": True, "ad_user_data": True}
        return self.ask("POST", "/data?v=2", json.dumps(event).encode())

    def beacon(self, number: int) -> http.client.HTTPResponse:
        page = f"{PAGE}/{number}" + ("?adclid=C1" if number == 1 else "")
        order = f"event=purchase&conversion_id=order-{number}&twclid={CLICK}"
        return self.ask("GET", f"/t?s=shop&{order}&url={quote(page, safe='')}")


def with_cookies(
    folder: Path, x: str, endpoint: str, *, wait: str = PATIENT, fields: str = "", code: str = ""
) -> Gateway:
    """Return a gateway with a tag that keeps cookies; `code` is put before the template's code."""
    text = (TEMPLATES / "ad_cookies.tpl").read_text()
    start = "___SANDBOXED_JS_FOR_SERVER___\n\n"
    (folder / "ads.tpl").write_text(text.replace(start, start + code))
    gateway = Gateway(folder, x)
    own = f'[templates]\nresponse_wait = "{wait}"\n[server]\nmetrics_key = "{METRICS_KEY}"'
    settings = gateway.config.read_text().replace("[server]", own)
    settings = settings.replace("region =", f'origins = ["{PAGE}"]\nregion =')
    gateway.config.write_text(
        settings
        + f"""
[[tag]]
name = "ads"
template = "ads.tpl"
consent = []
events = []
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{endpoint}"{fields} }}
"""
    )
    return gateway


@pytest.mark.parametrize("way", ["ga4", "data", "beacon"])
def test_tag_cookies_are_kept_over_three_events_and_sent(tmp_path, x_emulator, way):
    with Vendor() as vendor, with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway:
        browser = Browser(gateway)
        jars = []
        for number in (1, 2, 3):
            assert getattr(browser, way)(number).status < 300
            wait_for(lambda count=number: vendor.count() == count, gateway.ended)
            jars.append(dict(browser.jar))

    ads = [{name: jar[name] for name in ("_adp", "_adc")} for jar in jars]
    assert ads[0] == ads[1] == ads[2]
    assert ads[0]["_adc"].endswith(".C1")
    assert [{"_adp": came["adp"], "_adc": came["adc"]} for came in vendor.came] == ads
    assert "was ignored" not in gateway.log()
    assert any("_adp=" in cookie and "Max-Age=7776000" in cookie for cookie in browser.set)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_engine_process_of_a_tag_with_cookies_starts_with_the_gateway(tmp_path, x_emulator):
    def children(pid: int) -> list[int]:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]

    def engines() -> list[int]:
        forked = [pid for server in children(gateway.process.pid) for pid in children(server)]
        # An engine process has only its two pipes open; the fork server's test of the filter has
        # more descriptors.
        return [pid for pid in forked if len(list(Path(f"/proc/{pid}/fd").iterdir())) == 2]

    with Vendor() as vendor, with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway:
        wait_for(engines, gateway.ended)


def test_tag_sets_no_cookie_and_sends_nothing_without_consent(tmp_path, x_emulator):
    with Vendor() as vendor, with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway:
        browser = Browser(gateway)
        for signals in ("&gcs=G100", "&gcs=G111&npa=1&gcd=13m3m3m3m5"):
            browser.ga4(1, signals)
            assert browser.set == []
        gateway.drained()

    assert vendor.came == []


def test_page_of_another_site_gets_no_tag_cookie(tmp_path, x_emulator):
    other = "https://other.example"
    with Vendor() as vendor, with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway:
        settings = gateway.config.read_text()
        gateway.stop()
        gateway.config.write_text(settings.replace(f'["{PAGE}"]', f'["{PAGE}", "{other}"]'))
        gateway.start()
        browser = Browser(gateway, page=other)
        answer = browser.ga4(1)
        gateway.drained()

    assert (answer.status, browser.set, vendor.count()) == (200, [], 1)


SLOW = "let n = 0;\nfor (let i = 0; i < 3000000; i++) n += i;\n"


@pytest.mark.parametrize(("wait", "code"), [("10ms", SLOW), ("0ms", "")])
def test_tag_that_is_late_or_not_awaited_sets_no_cookie(tmp_path, x_emulator, wait, code):
    with (
        Vendor() as vendor,
        with_cookies(tmp_path, x_emulator.url, vendor.url, wait=wait, code=code) as gateway,
    ):
        browser = Browser(gateway)
        began = time.monotonic()
        answer = browser.ga4(1)
        took = time.monotonic() - began
        gateway.drained()

    assert (answer.status, browser.set, vendor.count()) == (200, [], 1)
    assert vendor.came[0]["adp"].startswith("ad.1.")
    assert took < 5


def test_cookie_value_is_sent_after_a_kill_before_the_run(tmp_path, x_emulator):
    is_up = False
    with (
        Vendor(lambda _: 200 if is_up else 500) as vendor,
        with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway,
    ):
        browser = Browser(gateway)
        browser.ga4(1)
        gateway.kill()
        is_up = True
        gateway.start()
        gateway.drained()

    assert {came["adp"] for came in vendor.came} == {browser.jar["_adp"]}


def test_duplicate_event_sets_no_tag_cookie(tmp_path, x_emulator):
    with Vendor() as vendor, with_cookies(tmp_path, x_emulator.url, vendor.url) as gateway:
        first, again = Browser(gateway), Browser(gateway)
        first.ga4(1)
        again.ga4(1)
        gateway.drained()

    assert (set(first.jar) >= {"_adp"}, again.jar, vendor.count()) == (True, {}, 1)


def test_browser_that_reads_a_stream_gets_headers_and_pixels(tmp_path, x_emulator):
    fields = ', header = "seen", pixel = "https://ads.example/p?x=1"'
    with (
        Vendor() as vendor,
        with_cookies(tmp_path, x_emulator.url, vendor.url, fields=fields) as gateway,
    ):
        browser = Browser(gateway)
        streamed = browser.ga4(1, GRANTED + "&richsstsse")
        plain = browser.ga4(2)
        gateway.drained()

    assert (streamed.headers["x-ad"], plain.headers["x-ad"]) == ("seen", "seen")
    assert streamed.text.startswith(
        'event: message\ndata: {"send_pixel":["https://ads.example/p?x=1"]}\n\n'
    )
    assert plain.text == ""
    assert sorted(came["pixel"] for came in vendor.came) == [False, True]


def test_tag_can_add_cookies_to_the_response_of_a_client_template(tmp_path, x_emulator):
    shutil.copy(TEMPLATES / "client_json.tpl", tmp_path / "client.tpl")
    with Vendor() as vendor:
        gateway = with_cookies(tmp_path, x_emulator.url, vendor.url)
        gateway.config.write_text(
            gateway.config.read_text()
            + '\n[[client]]\nname = "json"\ntemplate = "client.tpl"\nsource = "shop"\n'
        )
        with gateway:
            browser = Browser(gateway)
            answers = [
                browser.ask("POST", "/in", json.dumps({"event_name": "view", "n": n}).encode())
                for n in (1, 2)
            ]
            gateway.drained()

    assert [answer.status for answer in answers] == [202, 202]
    assert [came["adp"] for came in vendor.came] == [browser.jar["_adp"]] * 2


LATER = """
require('sendHttpRequest')(data.endpoint, {method: 'POST'}, '{"first": 1}').then(() => {
  require('setCookie')('_late', '1', {domain: 'auto', path: '/'});
});
"""


def test_cookie_set_in_a_callback_is_dropped_and_logged(tmp_path, x_emulator):
    with (
        Vendor() as vendor,
        with_cookies(tmp_path, x_emulator.url, vendor.url, code=LATER) as gateway,
    ):
        template = tmp_path / "ads.tpl"
        gateway.stop()
        template.write_text(template.read_text().replace('"string": "_adp"', '"string": "*"'))
        settings = gateway.config.read_text()
        gateway.config.write_text(settings.replace('level = "warning"', 'level = "info"'))
        gateway.start()
        browser = Browser(gateway)
        browser.ga4(1)
        wait_for(lambda: vendor.count() == 2, gateway.ended)
        gateway.drained()
        log = gateway.log()

    assert "_late" not in browser.jar
    assert "_adp" in browser.jar
    assert "setCookie was ignored: the call followed a wait for a response" in log
