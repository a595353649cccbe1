"""The configurations of nginx, Caddy and HAProxy, in front of real gateways."""

import json
import re
import threading
from contextlib import ExitStack
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest
from gateway_processes import KEY, PIXEL, Gateway, PostgresGateway, command, wait_for
from proxies import PROXIES, SITE, STRANGER, VISITOR, installed

from free_port import free_port

pytestmark = pytest.mark.journey

PASSWORD = "a sentence that does well"
JSON = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
SERVER = f"""public_url = "https://{SITE}"
trusted_proxies = ["127.0.0.1/32"]
secret_key = "a-key-that-seals-secrets"
"""
CONSOLE = """
[console]
networks = ["127.8.9.0/24"]
"""


@pytest.fixture(params=PROXIES)
def kind(request):
    if installed(request.param) is None:
        pytest.skip(f"no {request.param}")
    return PROXIES[request.param]


def on_port(gateway, port):
    """Let a gateway listen on a port, behind a proxy."""
    text = gateway.config.read_text()
    text = text.replace('"127.0.0.1:0"', f'"127.0.0.1:{port}"\n{SERVER}')
    gateway.config.write_text(text + CONSOLE)
    return gateway


@pytest.fixture
def gateway(tmp_path, x_emulator):
    port = free_port()
    with on_port(Gateway(tmp_path, x_emulator.url), port) as started:
        started.port = port
        yield started


@pytest.fixture
def proxy(kind, gateway, tmp_path):
    folder = tmp_path / "proxy"
    folder.mkdir()
    with kind(folder, [gateway.port]) as started:
        yield started


def order(number):
    return json.dumps({"event": "purchase", "conversion_id": f"order-{number}", "twclid": "abc"})


def posted(proxy, number):
    """Return the status of a conversion that is posted through the proxy."""
    return proxy.ask("POST", "/v1/conversions", order(number).encode(), JSON)[0]


def ids_at_x(x_emulator):
    return x_emulator.counted()["pixels"][PIXEL]["events"]["o8z6k"]["ids"]


def test_conversions_pass_the_proxy_to_x_and_plain_http_is_redirected(proxy, gateway, x_emulator):
    status = posted(proxy, 1)
    moved, headers, _ = proxy.ask("GET", "/twite.js?s=shop", plain=True)
    gateway.drained()

    assert status == 202
    assert set(ids_at_x(x_emulator)) == {"order-1"}
    assert (moved, headers["Location"]) == (308, f"https://{SITE}/twite.js?s=shop")


def add_admin(gateway):
    typed = ("user", "add", "ada", "--role", "admin", "--password-stdin")
    command(gateway, *typed, typed=PASSWORD).check_returncode()


class ConsoleUser:
    """A browser that signs in to the console through a proxy, and forges its address."""

    FORGED = "203.0.113.9"

    def __init__(self, proxy):
        self.proxy = proxy
        self.jar = SimpleCookie()

    @property
    def headers(self):
        pairs = "; ".join(f"{name}={morsel.value}" for name, morsel in self.jar.items())
        return {"Cookie": pairs, "X-Forwarded-For": self.FORGED, "Origin": f"https://{SITE}"}

    def ask(self, method, path, fields=None):
        body = None if fields is None else urlencode(fields).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        status, said, page = self.proxy.ask(method, path, body, self.headers | headers)
        for cookie in said.get_all("Set-Cookie") or []:
            self.jar.load(cookie)
        return status, page.decode()

    def sign_in(self):
        _, page = self.ask("GET", "/console/sign-in")
        token = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)[1]
        fields = {"name": "ada", "password": PASSWORD, "code": "", "form_token": token}
        return self.ask("POST", "/console/sign-in", fields)[0]


def test_console_behind_the_proxy_is_live_and_ignores_a_forged_address(proxy, gateway):
    add_admin(gateway)
    user = ConsoleUser(proxy)
    signed_in = user.sign_in()
    link = proxy.connection()
    stream = {"Host": SITE, "Accept": "text/event-stream"}
    link.request("GET", "/console/changes", headers=user.headers | stream)
    answer = link.getresponse()
    # A proxy that buffers would pass the first lines on at the end of the stream.
    first = [answer.readline() for _ in range(5)]
    posted(proxy, 7)
    then = [answer.readline() for _ in range(3)]
    link.close()
    audit = json.loads(command(gateway, "audit", "list", "--json").stdout)

    assert signed_in == 303
    assert (first[0], first[3], then[1]) == (b"retry: 1000\n", *[b"data: changed\n"] * 2)
    # The audit log masks the last part of an address.
    assert audit[0]["detail"].startswith(VISITOR.rpartition(".")[0])


def test_proxy_opens_neither_the_console_nor_metrics_even_with_a_forged_address(proxy, gateway):
    add_admin(gateway)
    paths = ("/console/sign-in", "/metrics")
    forged = ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": VISITOR})

    found = {
        path: {proxy.ask("GET", path, None, headers, source=STRANGER)[0] for headers in forged}
        for path in paths
    }

    assert found == {"/console/sign-in": {403}, "/metrics": {401}}


def test_body_over_the_limit_is_refused_and_the_next_request_is_accepted(proxy, gateway):
    large = json.dumps({"conversions": [{"description": "x" * 3_000_000}]}).encode()

    refused, _, _ = proxy.ask("POST", "/v1/conversions", large, JSON)
    chunked = proxy.connection()
    parts = (large[at : at + 65_536] for at in range(0, len(large), 65_536))
    chunked.request("POST", "/v1/conversions", parts, JSON | {"Host": SITE}, encode_chunked=True)
    also_refused = chunked.getresponse().status
    chunked.close()

    assert (refused, also_refused) == (413, 413)
    assert posted(proxy, 1) == 202
    assert gateway.drained()["received"] == 1


class Shop(threading.Thread):
    """Posts conversions through a proxy, and repeats each one until it is acknowledged."""

    def __init__(self, proxy, name):
        super().__init__()
        self.acknowledged = []
        self.failures = []
        self._proxy = proxy
        self._name = name
        self._stopping = threading.Event()

    def run(self):
        while not self._stopping.is_set():
            number = f"{self._name}-{len(self.acknowledged)}"
            try:
                status = posted(self._proxy, number)
            except OSError as error:
                status = type(error).__name__
            if status == 202:
                self.acknowledged.append(f"order-{number}")
            else:
                self.failures.append(status)
                self._stopping.wait(0.1)

    def stop(self):
        self._stopping.set()
        self.join()


def grown(shops, by):
    """Wait until each shop has that many more acknowledged conversions."""
    wanted = [len(shop.acknowledged) + by for shop in shops]
    wait_for(
        lambda: all(len(s.acknowledged) >= n for s, n in zip(shops, wanted, strict=True)),
        seconds=60,
    )


def test_restarts_and_reloads_lose_no_acknowledged_conversion(proxy, gateway, x_emulator):
    with ExitStack() as stack:
        shops = [Shop(proxy, name) for name in "ab"]
        for shop in shops:
            shop.start()
            stack.callback(shop.stop)
        grown(shops, 5)
        proxy.reload()
        grown(shops, 5)
        during_reload = [failure for shop in shops for failure in shop.failures]
        stopped = gateway.stop()
        gateway.start()
        grown(shops, 5)
    balance = gateway.drained()
    acknowledged = {id_ for shop in shops for id_ in shop.acknowledged}
    at_x = ids_at_x(x_emulator)

    assert during_reload == []
    assert stopped == 0
    # Caddy and HAProxy wait for the gateway; nginx reports that it does not answer.
    assert {failure for shop in shops for failure in shop.failures} <= {502, 503}
    assert set(at_x) == acknowledged
    assert {tally["counted"] for tally in at_x.values()} == {1}
    assert balance["balance"] == 0


def test_proxy_uses_the_second_gateway_if_the_first_one_stops(
    kind, tmp_path, x_emulator, postgres_url
):
    gateways, ports = [], [free_port(), free_port()]
    for number, port in enumerate(ports):
        folder = tmp_path / str(number)
        folder.mkdir()
        gateways.append(on_port(PostgresGateway(folder, x_emulator.url, postgres_url), port))
    first, second = gateways
    with first, second, kind(tmp_path, ports) as proxy:
        shop = Shop(proxy, "a")
        shop.start()
        grown([shop], 10)
        before = list(shop.failures)
        first.stop()
        stopped = list(shop.failures)
        grown([shop], 20)
        shop.stop()
        balance = second.drained()

    assert before == []
    # A gateway that is stopping refuses requests.
    assert set(stopped) <= {502, 503}
    assert shop.failures == stopped or not proxy.resends
    assert set(shop.failures) <= {502, 503}
    assert balance["delivered"] == len(ids_at_x(x_emulator)) == len(shop.acknowledged)
