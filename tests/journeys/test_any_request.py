"""Random requests to the page and tag routes are accepted, ignored, or refused with a reason."""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode, urlsplit

import pytest
from gateway_processes import KEY, Gateway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from any_event import HITS, NAMES, VALUES
from twite_emulator.process import running_emulator

pytestmark = pytest.mark.journey

EXAMPLES = 10_000 if os.environ.get("TWITE_TRIAL") else 40
PAGE = {"Origin": "https://shop.example", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
OPEN = {
    "[server]": "[server]\nbrowser_rate = 1000000",
    "region =": 'origins = ["https://shop.example"]\nregion =',
}
JSON = {"Content-Type": "application/json"}
CLICK = "23opevjt88psuo13lu8d020qkn"
EVENT = {"event_name": "purchase", "twclid": CLICK, "value": "49.90", "currency": "EUR"}
HIT = {"en": "purchase", "cid": "1.2", "dl": f"https://shop.example/?twclid={CLICK}"}
OF_X = {
    "event_id": "o8z6k",
    "identifiers": [{"twclid": CLICK}],
    "conversion_time": "2026-11-24T10:00:00.000Z",
}

# Valid requests with one or two errors.
ODD = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2)
EVENTS = ODD.map(lambda odd: EVENT | odd)
HITS_SAID = HITS.map(lambda odd: urlencode(HIT | odd, errors="replace"))
LINES = st.lists(HITS_SAID, max_size=3).map(lambda lines: "\n".join(lines).encode())


def messages(**parts: st.SearchStrategy[object]) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda odd, said: json.dumps(said | odd).encode(), ODD, st.builds(dict, **parts)
    )


def lists(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(strategy, min_size=1, max_size=2)


# Request lines, headers and bodies of known clients.
ENDPOINTS = {
    "/g/collect": ("v=2&tid=G-1&", PAGE, LINES),
    "/mp/collect": (
        f"api_secret={KEY}&measurement_id=G-1&",
        {},
        messages(events=lists(st.builds(dict, name=st.just("purchase"), params=EVENTS))),
    ),
    "/data": (
        "v=2&event=purchase&",
        PAGE,
        LINES | (EVENTS | lists(EVENTS)).map(lambda said: json.dumps(said).encode()),
    ),
    "/t": (
        "s=shop&",
        PAGE,
        messages(
            v=st.just(1),
            sent=st.integers(),
            conversions=lists(ODD.map(lambda odd: {"event": "purchase", "twclid": CLICK} | odd)),
        ),
    ),
    "/v1/sgtm": ("", JSON | {"Authorization": f"Bearer {KEY}"}, messages(event=EVENTS)),
    f"/stape-api/{KEY}/v1/twitter/auth-proxy": (
        "",
        JSON,
        messages(pixel_id=st.just("o8z6j"), conversions=lists(ODD.map(lambda odd: OF_X | odd))),
    ),
}
# Characters of request lines and queries, in any encoding.
SIGNS = st.lists(st.integers(0x21, 0xFF).filter(lambda byte: byte not in b'"<>#\x7f'), max_size=60)
QUERIES = st.just(b"") | SIGNS.map(bytes) | HITS_SAID.map(str.encode)
TYPES = st.sampled_from(["text/plain", "application/x-www-form-urlencoded", "application/json"])


class Line:
    """A connection that reopens after the gateway has closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port
        self._line: socket.socket | None = None

    def asks(
        self, method: str, target: bytes, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        if self._line is None:
            self._line = socket.create_connection(self._address, timeout=30)
        said = {"Host": "t.shop.example", "Content-Length": str(len(body))} | headers
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items()).encode()
        self._line.sendall(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), target, head, body))
        answer = http.client.HTTPResponse(self._line, method=method)
        answer.begin()
        received = answer.status, answer.read()
        if answer.will_close:
            self.close()
        return received

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_emulator() as x:
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), x.url)
        text = gateway.config.read_text()
        for before, after in OPEN.items():
            text = text.replace(before, after)
        gateway.config.write_text(text)
        with gateway:
            yield gateway


def has_known_form(body: bytes) -> bool:
    """Whether the response has a known form: an error of Twite or X, or a receipt."""
    said = json.loads(body)
    faults = said.get("errors") or [
        error for rejected in said["rejected"] for error in rejected["errors"]
    ]
    return bool(faults) and all(fault["code"] and fault["message"] for fault in faults)


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("api", ENDPOINTS)
def test_any_request_is_accepted_ignored_or_refused_with_a_message(gateway, api, figure):
    begun, known, bodies = ENDPOINTS[api]
    received: dict[int, int] = {}

    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(["POST", "POST", "GET"]), QUERIES, bodies | st.binary(), TYPES)
    def ask(method, query, body, kind):
        target = f"{api}?{begun}".encode() + query
        status, said = line.asks(
            method, target, {"Content-Type": kind} | known, body if method == "POST" else b""
        )

        received[status] = received.get(status, 0) + 1
        assert status < 500
        assert status < 300 or has_known_form(said)

    with closing(Line(gateway.url)) as line:
        ask()
    balance = gateway.balance()

    figure(f"any request at {api.replace(KEY, '…')} is answered", f"{received}")
    assert balance["balance"] == 0
    assert "unexpected" not in gateway.log()
