"""Identifiers that match nobody do not count as match keys, on the page and in the metrics."""

import hashlib
import html
import re

import aiohttp
from console_stage import ConsoleStage

KEY = "a-source-key-of-some-length"
CLICK = "23opevjt88psuo13lu8d020qkn"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def order(number, **said):
    return {"event": "purchase", "conversion_id": f"order-{number}"} | said


# Forty addresses that belong to nobody, two double hashes, one with a click id, and four people.
ORDERS = [
    *(order(number, email=f"noreply+{number}@shop.alt") for number in range(40)),
    order(40, email="anna@shop.alt", email_sha256=sha256(sha256("anna@shop.alt"))),
    order(41, email="ben@shop.alt", email_sha256=sha256(sha256("ben@shop.alt")), twclid=CLICK),
    *(order(number, email=f"buyer{number}@shop.alt") for number in range(42, 46)),
]


async def test_useless_hashes_are_not_counted_as_match_keys(tmp_path):
    stage = ConsoleStage(tmp_path)
    await stage.start()
    try:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
            http.post(
                f"{stage.gateway.url}/v1/conversions", json={"conversions": ORDERS}
            ) as answer,
        ):
            assert answer.status == 202
        ada = await stage.signed_in("ada")
        page = (await ada.get("/console/match-keys?pixel=o8z6j")).text
        metrics = (await stage.browser().get("/metrics")).text
    finally:
        await stage.stop()

    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
    assert "email 8.7 %" in text
    assert "phone 0.0 %" in text
    assert re.findall(r"up to \+\S+ points", text) == ["up to +2.2 points"]
    assert re.search(r"double_hash purchase 2 .*?up to \+2\.2 points", text)
    reported = re.findall(
        r'^twite_match_keys_total\{.*key="(\w+)".*\} (\S+)$', metrics, re.MULTILINE
    )
    assert sorted(reported) == [("click_id", "1.0"), ("email", "4.0")]
