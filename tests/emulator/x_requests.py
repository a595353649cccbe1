"""Builders of client requests to X; signed with oauthlib, which the emulator does not use."""

import json
from random import Random
from urllib.parse import urlencode

import msgspec
from oauthlib.oauth1 import Client

from twite_emulator.exchange import XAnswer, XRequestReceived
from twite_emulator.judge import Judge
from twite_emulator.switches import parsed

NOW = 1_795_600_000.0
PIXEL = "o8z6j"
PIXEL_TOKEN = "emulator-pixel-token-o8z6j"
ACCOUNT = "18ce54d4x5t"
CONSUMER = ("xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw")
TOKEN = (
    "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
)
ADS = "https://ads-api.x.com"


class Time:
    """A clock that tests move."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def a_judge(*switches: str, clock=None) -> Judge:
    return Judge(switches=parsed(switches), clock=clock or Time(), randomness=Random(7))


def a_conversion(**changes):
    """A conversion that X accepts; a change to None removes the field."""
    conversion = {
        "conversion_time": "2026-11-25T00:00:00.000Z",
        "event_id": "o8z6k",
        "identifiers": [{"twclid": "26l6412g5p4iyj65a2oic2ayg2"}],
        "conversion_id": "order-1",
    } | changes
    return {name: value for name, value in conversion.items() if value is not None}


def a_request(
    *conversions, pixel=PIXEL, token=PIXEL_TOKEN, body=None, version="12"
) -> XRequestReceived:
    path = f"/{version}/measurement/conversions/{pixel}"
    return XRequestReceived(
        method="POST",
        url=f"{ADS}{path}",
        path=path,
        headers={"content-type": "application/json", "x-pixel-token": token},
        body=json.dumps({"conversions": conversions}).encode() if body is None else body,
    )


def a_hit(
    conversion_id="order-1", *, txn="o8z6k", path="/1/i/adsct", twclid=None, **event
) -> XRequestReceived:
    """A hit of the pixel, without an event_id that would count it once."""
    event = {"conversion_id": conversion_id, "value": 1} | event
    pairs = {"txn_id": txn, "p_id": "Twitter", "event": json.dumps(event)}
    query = urlencode(pairs | ({} if twclid is None else {"twclid": twclid}))
    return XRequestReceived(method="GET", url=ADS + path, path=path, query=query, headers={})


def signed(
    method,
    address,
    *,
    consumer=CONSUMER,
    token=TOKEN,
    at=NOW,
    nonce=None,
    form=None,
    body=b"",
    **more,
) -> XRequestReceived:
    """A request signed with OAuth 1.0a. `form` is an encoded form, which the signature covers."""
    key, secret = token or (None, None)
    client = Client(
        consumer[0],
        client_secret=consumer[1],
        resource_owner_key=key,
        resource_owner_secret=secret,
        timestamp=str(int(at)),
        nonce=nonce,
        **more,
    )
    kind = "application/json" if form is None else "application/x-www-form-urlencoded"
    _, headers, written = client.sign(address, method, form, {"Content-Type": kind})
    url, _, query = address.partition("?")
    return XRequestReceived(
        method=method,
        url=url,
        path="/" + url.split("/", 3)[3],
        query=query,
        headers={name.lower(): value for name, value in headers.items()},
        body=body if form is None else written.encode(),
    )


def signed_conversions(*conversions, pixel=PIXEL, **more) -> XRequestReceived:
    body = json.dumps({"conversions": conversions}).encode()
    address = f"{ADS}/12/measurement/conversions/{pixel}"
    return signed("POST", address, body=body, **more)


def reply(answer: XAnswer) -> tuple[int, object]:
    return answer.status, msgspec.json.decode(answer.body)


def refused(*errors, account=ACCOUNT):
    """X's error document for (code, message, parameter)…"""
    return {
        "errors": [
            {"code": code, "message": message, "parameter": parameter}
            for code, message, parameter in errors
        ],
        "request": {"params": {"account_id": account}},
    }


def answer_of(judge: Judge, *conversions, **more) -> tuple[int, object]:
    return reply(judge.answer(a_request(*conversions, **more)).answer)


def counted(judge: Judge, event="o8z6k", pixel=PIXEL) -> int:
    count = judge.ledger.events.get((pixel, event))
    return count.counted if count else 0
