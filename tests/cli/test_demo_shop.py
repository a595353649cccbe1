"""The demo's shop: its pages, and its back end's requests to the gateway."""

import http.client
import json
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

from twite.cli.demo.shop import DemoShop

X = "http://127.0.0.1:9"
REPORT = {"since": "2026-11-25", "both": 3, "two_ids": 1, "by": [], "advice": {"two_ids": "mend"}}


class FakeGateway(BaseHTTPRequestHandler):
    """Records POST requests; answers with a deduplication report."""

    reported: list

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        key = self.headers["Authorization"]
        self.reported.append((self.path, key, json.loads(self.rfile.read(length))))
        self._answer(202, b"{}")

    def do_GET(self):
        self._answer(200, json.dumps(REPORT).encode())

    def log_message(self, *_):
        pass

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def reported():
    return []


@pytest.fixture
def gateway(reported):
    class Gateway(FakeGateway):
        pass

    Gateway.reported = reported
    server = HTTPServer(("127.0.0.1", 0), Gateway)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def shop(gateway):
    with DemoShop() as shop:
        shop.open(gateway=gateway, x=X, key="a-key")
        yield shop


def ask(shop, path, *, form=None):
    method = "GET" if form is None else "POST"
    with closing(http.client.HTTPConnection(urlsplit(shop.url).netloc, timeout=10)) as line:
        line.request(method, path, form)
        answer = line.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


@pytest.mark.parametrize("path", ["/", "/mug"])
def test_each_page_loads_the_script_and_its_policy_allows_it(shop, gateway, path):
    status, headers, page = ask(shop, path)

    policy = headers["Content-Security-Policy"]
    assert status == 200
    assert f'<script async src="{gateway}/twite.js?s=shop"></script>' in page
    assert f"script-src 'self' {gateway} {X};" in policy
    assert "<script>" not in page


def test_order_is_sent_by_server_and_page_with_one_id(shop, reported):
    status, headers, _ = ask(shop, "/order", form="email=shopper%40example.com")

    _, _, page = ask(shop, headers["Location"])
    assert (status, headers["Location"]) == (303, "/thanks?order=shop-0001")
    assert reported == [
        (
            "/v1/conversions",
            "Bearer a-key",
            {
                "event": "purchase",
                "conversion_id": "shop-0001",
                "value": "24.95",
                "currency": "EUR",
                "email": "shopper@example.com",
            },
        )
    ]
    assert 'data-id="shop-0001" data-value="24.95" data-currency="EUR"' in page


def test_script_calls_of_a_page_are_in_a_separate_file(shop):
    _, headers, script = ask(shop, "/shop.js")

    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "twite('purchase', {" in script


def test_dedup_report_page_shows_advice(shop):
    _, _, page = ask(shop, "/deduplication")

    assert "<tr><td>two ids</td><td>1</td><td>mend</td></tr>" in page


def test_email_of_a_customer_cannot_inject_html(shop):
    _, headers, _ = ask(shop, "/order", form="email=%22%3E%3Cscript%3E")

    _, _, page = ask(shop, headers["Location"])

    assert 'data-email="&#34;&gt;&lt;script&gt;"' in page


@pytest.mark.parametrize("path", ["/thanks", "/thanks?order=other", "/favicon.ico"])
def test_unknown_path_of_the_shop_is_404(shop, path):
    assert ask(shop, path)[0] == 404
