"""Two gateways on one database: a command to one applies to both."""

import html
import re
import time
import urllib.error
import urllib.request
from http.cookies import SimpleCookie
from statistics import median
from urllib.parse import urlencode, urlsplit

import pytest
from gateway_processes import KEY, PIXEL, PostgresGateway, command, wait_for
from signing_in import SETTINGS, log_in
from woken_sender import WokenSender

from x_page import CONSUMER_KEY, CONSUMER_SECRET, answer_the_page

pytestmark = pytest.mark.journey


class WokenGateway(PostgresGateway):
    """A gateway that looks for conversions only when it is woken."""

    popen = WokenSender


@pytest.fixture
def two(tmp_path, x_emulator, postgres_url):
    """Start two gateways; one of them owns the ads account."""
    gateways = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        gateways.append(WokenGateway(folder, x_emulator.url, postgres_url))
    with gateways[0], gateways[1]:
        yield gateways


class Unsigned(PostgresGateway):
    """A gateway without X credentials in its settings."""

    def __init__(self, folder, x, url):
        super().__init__(folder, x, url)
        text = SETTINGS.format(x=x, key=CONSUMER_KEY, secret=CONSUMER_SECRET, shop=KEY, auth="")
        self.config.write_text(text.replace("sqlite:twite.db", url))
        (folder / "twite.secret").write_text("the-first-key-that-seals\n")


@pytest.fixture
def unsigned(tmp_path, x_emulator, postgres_url):
    """Start two gateways whose pixel nobody has signed in for."""
    gateways = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        gateways.append(Unsigned(folder, x_emulator.url, postgres_url))
    with gateways[0], gateways[1]:
        yield gateways


class Browser:
    """A simulated browser behind a load balancer: each request may go to another gateway.

    All cookies belong to one host, as with gateways on one machine.
    """

    def __init__(self):
        self._cookies = {}

    def ask(self, gateway, path, fields=None):
        body = None if fields is None else urlencode(fields).encode()
        said = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        request = urllib.request.Request(
            gateway.url + path, body, {"Cookie": said, "Origin": gateway.url}
        )
        opener = urllib.request.build_opener(_Stays)
        try:
            with opener.open(request, timeout=30) as answer:
                text, headers = answer.read().decode(), answer.headers
        except urllib.error.HTTPError as moved:
            text, headers = moved.read().decode(), moved.headers
        for cookie in headers.get_all("Set-Cookie") or ():
            for name, morsel in SimpleCookie(cookie).items():
                self._cookies[name] = morsel.value
        return text

    def submit(self, gateway, page, path, **fields):
        """Send a form of a page."""
        token = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.ask(gateway, page))[1]
        return self.ask(gateway, path, {"form_token": token, **fields})


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def at_x(x, number):
    events = x.counted()["pixels"].get(PIXEL, {}).get("events", {})
    return f"order-{number}" in events.get("o8z6k", {}).get("ids", ())


def post(gateway, number):
    conversion = {"event": "purchase", "conversion_id": f"order-{number}", "email": "a@example.com"}
    assert gateway.post(conversion)[0] == 202


def test_accepted_conversion_wakes_the_sender_of_another_gateway(two, x_emulator, figure):
    took = {0: [], 1: []}
    post(two[0], "first")
    wait_for(lambda: at_x(x_emulator, "first"), two[0].ended)
    for number in range(16):
        # The worker lingers for 0.2 s after a batch. Then it waits to be woken.
        time.sleep(0.5)
        chosen = number % 2
        post(two[chosen], number)
        began = time.monotonic()
        wait_for(lambda number=number: at_x(x_emulator, number), two[chosen].ended)
        took[chosen].append(time.monotonic() - began)

    slowest = max(median(times) for times in took.values())
    figure("sent by the other gateway", f"median {slowest:.2f} s of {len(took[0])}, 16 conversions")


def test_credentials_entered_at_one_gateway_are_used_by_both(unsigned, x_emulator):
    for number, gateway in enumerate(unsigned):
        post(gateway, number)
    wait_for(lambda: any("no user has signed in" in gateway.log() for gateway in unsigned))

    code, _, problem = log_in(unsigned[0])

    assert (code, problem) == (0, "")
    wait_for(lambda: at_x(x_emulator, 0) and at_x(x_emulator, 1), unsigned[1].ended)
    # Either gateway may have sent these conversions; check that the other one can send, too.
    for number in range(2):
        unsigned[number].stop()
        wait_for(lambda number=number: _owns(unsigned[1 - number], f"alone-{number}", x_emulator))
        unsigned[number].start()


def _owns(gateway, number, x):
    post(gateway, number)
    return at_x(x, number)


def test_sign_in_to_x_can_finish_at_another_gateway(unsigned, x_emulator):
    callback = f"{unsigned[0].url}/console/connect/callback"
    x_emulator.add(apps=[{"id": "3213", "callbacks": [callback]}])
    password = "a sentence that does well"
    added = command(
        unsigned[1], "user", "add", "ada", "--role", "admin", "--password-stdin", typed=password
    )
    assert added.returncode == 0
    browser = Browser()
    browser.submit(
        unsigned[1], "/console/sign-in", "/console/sign-in", name="ada", password=password, code=""
    )

    begun = browser.submit(
        unsigned[0], "/console/account", "/console/pixels/o8z6j/connect/begin", way="callback"
    )
    page = html.unescape(re.search(r'<a class="button main"\s+href="([^"]+)"', begun)[1])
    back = urlsplit(answer_the_page(page)[1])
    browser.ask(unsigned[1], f"{back.path}?{back.query}")

    for number, gateway in enumerate(unsigned):
        post(gateway, number)
    wait_for(lambda: at_x(x_emulator, 0) and at_x(x_emulator, 1), unsigned[1].ended)


def test_source_key_that_one_gateway_creates_or_revokes_is_followed_by_the_other(unsigned):
    password = "a sentence that does well"
    command(
        unsigned[0], "user", "add", "ada", "--role", "admin", "--password-stdin", typed=password
    )
    browser, path = Browser(), "/console/sources/shop"
    sign_in = "/console/sign-in"
    browser.submit(unsigned[0], sign_in, sign_in, name="ada", password=password, code="")

    created = browser.submit(unsigned[0], path, f"{path}/keys", own=password)
    key = html.unescape(re.search(r'<pre id="text"[^>]*>([^<]+)</pre>', created)[1])
    wait_for(lambda: _status(unsigned[1], key) == 202, unsigned[1].ended)
    old_key = _status(unsigned[1], KEY)
    browser.submit(unsigned[1], path, f"{path}/keys/file/revoke", own=password)

    wait_for(lambda: _status(unsigned[0], KEY) == 401, unsigned[0].ended)
    assert old_key == 202
    assert _status(unsigned[0], key) == 202


def _status(gateway, key):
    order = b'{"event": "purchase", "conversion_id": "order-1", "email": "a@example.com"}'
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{gateway.url}/v1/conversions", order, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
