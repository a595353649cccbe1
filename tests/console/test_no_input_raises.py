"""Arbitrary URLs, forms and headers get a response, never an internal error."""

import os
import re
from urllib.parse import quote, urlencode

import pytest
import pytest_asyncio

from raw_http import say

pytestmark = pytest.mark.asyncio(loop_scope="module")

# fmt: off
NAMES = (
    "after", "at", "before", "code", "currency", "days", "delivery", "divide", "drop",
    "event", "event_to", "for", "id", "kind", "may", "name", "next", "note", "number", "own",
    "pixel", "reason", "role", "scope", "sees", "source", "span", "state", "token", "value",
    "which",
)
# fmt: on
HOSTILE = (
    "9" * 5_000,
    "-1",
    "9" * 15,
    "0x10",
    "\N{ARABIC-INDIC DIGIT FOUR}",
    "2026-02-30T25:61",
    "9999-12-31T23:59",
    "0001-01-01T00:00",
    "\0",
    "%zz%ff%",
    "\N{PILE OF POO}" * 300,
    "dead\r\nSet-Cookie: a=b",
    "[" * 500,
)
TOO_MANY = "a&" * 2_500
STATES = ({}, {"state": "dead"}, {"state": "held", "which": "all"})
LONG = os.environ.get("TWITE_TRIAL") == "1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(stage):
    return await stage.signed_in("ada")


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/conversions", "/console/problems"])
async def test_query_with_too_many_fields_is_refused_with_a_message(ada, path):
    answer = await ada.get(f"{path}?{TOO_MANY}")

    assert answer.status == 400
    assert "at most 2,000 fields" in answer.text


async def test_form_with_too_many_fields_is_refused_with_a_message(ada):
    body = f"form_token=x&{TOO_MANY}".encode()

    answer = await ada.ask("POST", "/console/sign-in", body=body, headers={"Origin": ada.url})

    assert answer.status == 400
    assert "at most 2,000 fields" in answer.text


async def test_form_that_is_not_utf_8_is_refused_with_a_message(ada):
    answer = await ada.ask(
        "POST", "/console/sign-in", body=b"name=\xff", headers={"Origin": ada.url}
    )

    assert answer.status == 400
    assert "The form is not valid UTF-8 text" in answer.text


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_query_and_form_fields_cause_no_internal_error(stage, ada, hostile):
    fields = dict.fromkeys(NAMES, hostile)

    faults = []
    for number, route in enumerate(stage.routes):
        if route.path.endswith(("sign-out", "elsewhere")):
            continue
        # Each route is tested in each state; all texts in all states only in the long form.
        for state in STATES if LONG else [STATES[(number + HOSTILE.index(hostile)) % len(STATES)]]:
            asked = fields | state
            path = re.sub(r"\{\w+(:\w+)?\}", quote(hostile[:500], safe=""), route.path)
            answer = (
                await ada.get(f"{path}?{urlencode(asked)}")
                if route.method == "GET"
                else await ada.post(path, asked)
            )
            if answer.status >= 500:
                faults.append((route.method, route.path, answer.status))

    assert faults == []


@pytest.mark.parametrize(
    "header",
    [
        "Host: [",
        "Host: [::1",
        "Host: a]b",
        "Host: \xff\xfe",
        "Host: t.shop.example:99999999999",
        "Host: @/?#",
        "Host:",
        "Host: localhost\r\nCookie: twite=\xff; =; ;;; a",
        "Host: localhost\r\nLast-Event-ID: 99999999999999999999",
        "Host: localhost\r\nOrigin: http://[",
        "Host: localhost\r\nAuthorization: Bearer \xff",
        "Host: localhost\r\nUser-Agent: \xff\xfe",
    ],
)
@pytest.mark.parametrize(
    "start", ["GET /console/sign-in", "POST /-/control", "GET /console/%3F%23%0d%0a//x"]
)
async def test_hostile_headers_cause_no_internal_error(stage, start, header):
    request = f"{start} HTTP/1.1\r\n{header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    port = int(stage.browser().url.rpartition(":")[2])

    answer = await say(port, request.encode("latin-1"))

    assert re.match(rb"HTTP/1\.1 [234]\d\d ", answer), answer[:200]
