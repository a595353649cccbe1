"""The recipe "Add a format" in CONTRIBUTING.md: a webhook with a key, and one with a signature."""

import hmac
from base64 import b64encode
from enum import StrEnum
from hashlib import sha256

import msgspec
import pytest

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from memory_store.store import MemoryStore
from raw_http import parse_response, request, say
from twite.domain.errors import MalformedRequest
from twite.formats.parsed_request import Native, ParsedRequest
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import RecordConsentChoice
from twite.gateway.ports.queries import ByConversionId
from twite.http import GatewayServices, HttpApplication, Server
from twite.http.authorization import WRONG_KEY
from twite.http.responses import HttpRefusal
from twite.http.route import FULL_BODY, Route, RouteAuthentication, source_key
from twite.http.route_table import ROUTES
from twite.http.routes.native import taking

ORDER = b'{"order": "order-1", "total": "49.90", "mail": "shopper@example.com"}'


class CouponOrder(msgspec.Struct):
    order: str
    total: str
    mail: str


class ToyEndpoint(StrEnum):
    COUPONS = "coupons"


def read_coupon(body: bytes) -> ParsedRequest:
    try:
        order = msgspec.json.decode(body, type=CouponOrder)
    except msgspec.DecodeError as error:
        raise MalformedRequest(code="wrong_shape", path="", message=str(error)) from None
    conversion = Native(
        event="purchase",
        conversion_id=order.order,
        value=msgspec.Raw(msgspec.json.encode(order.total)),
        currency="EUR",
        email=order.mail,
    )
    return ParsedRequest(conversions=(conversion,))


async def signer(request):
    """Return the source in the path; its key has signed the body."""
    name = request.parameters["source"]
    source = next((each for each in request.services.sources if each.name == name), None)
    if source is None or source.key is None:
        raise HttpRefusal(WRONG_KEY)
    return source


def signature_of(key, body):
    return b64encode(hmac.digest(key.encode(), body, sha256))


def verify(source, headers, body):
    signature = headers.get(b"x-coupon-signature", b"")
    if not hmac.compare_digest(signature, signature_of(source.key.reveal(), body)):
        raise HttpRefusal(WRONG_KEY)


def row(path, authenticate):
    return Route(
        path=path,
        methods=("POST",),
        label="/coupons",
        authenticate=authenticate,
        answer=taking(ToyEndpoint.COUPONS, lambda request, _source: read_coupon(request.body)),
        body=FULL_BODY,
        takes_json=True,
        endpoint=ToyEndpoint.COUPONS,
    )


async def served(store, row, *requests):
    """Return the answers of a gateway with this row."""
    destinations = {"o8z6j": a_destination("o8z6j")}
    accept = Accept(
        intake=store,
        clock=MovingClock(NOW),
        randomness=SeededRandomness(),
        destinations=destinations,
        salt=b"salt",
        wake=lambda _pixel: None,
    )
    services = GatewayServices(
        accept=accept,
        queries=store,
        privacy=store,
        directory=store.people,
        moves=store,
        record_choice=RecordConsentChoice(privacy=store, clock=MovingClock(NOW), salt=b"salt"),
        clock=MovingClock(NOW),
        sources=[a_source()],
        destinations=destinations,
        ready=lambda: None,
        metrics=lambda _accounts: b"",
    )
    server = Server(HttpApplication(services, routes=(*ROUTES, row)), host="127.0.0.1", port=0)
    await server.start()
    answers = [parse_response(await say(server.port, sent)) for sent in requests]
    await server.stop()
    return answers


async def sent_of(store):
    (history,) = await store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1")
    )
    return history.sent


async def test_new_format_is_parsed_and_accepted_on_its_own_route():
    store = MemoryStore()
    key = {"Authorization": "Bearer a-source-key"}

    refused, unreadable, answer = await served(
        store,
        row("/coupons", source_key),
        request("POST", "/coupons", ORDER, {}),
        request("POST", "/coupons", b'{"order": 1}', key),
        request("POST", "/coupons", ORDER, key),
    )

    assert (refused.status, unreadable.status, answer.status) == (401, 400, 202)
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, [])
    sent = await sent_of(store)
    assert b"49.90" in sent
    assert b"shopper" not in sent


async def test_signed_webhook_is_accepted_if_the_signature_fits_the_body():
    store = MemoryStore()
    signed = {"X-Coupon-Signature": signature_of("a-source-key", ORDER).decode()}

    missing, foreign, changed, unknown, answer = await served(
        store,
        row("/coupons/{source}", RouteAuthentication(check=signer, verify=verify)),
        request("POST", "/coupons/shop", ORDER, {}),
        request(
            "POST",
            "/coupons/shop",
            ORDER,
            {"X-Coupon-Signature": signature_of("another-key", ORDER).decode()},
        ),
        request("POST", "/coupons/shop", ORDER.replace(b"49.90", b"99.90"), signed),
        request("POST", "/coupons/nobody", ORDER, signed),
        request("POST", "/coupons/shop", ORDER, signed),
    )

    refused = (missing, foreign, changed, unknown)
    assert [(each.status, each.json()["errors"][0]["code"]) for each in refused] == [
        (401, "key_wrong")
    ] * 4
    assert (answer.status, answer.json()["accepted"]) == (202, 1)
    assert b"49.90" in await sent_of(store)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
@pytest.mark.parametrize("endpoint", [None, ToyEndpoint.COUPONS])
async def test_signature_is_verified_with_every_method(method, endpoint):
    def refuse(_source, _headers, _body):
        raise HttpRefusal(WRONG_KEY)

    open_to_all = msgspec.structs.replace(
        row("/coupons/{source}", RouteAuthentication(check=signer, verify=refuse)),
        methods=(),
        takes_json=False,
        endpoint=endpoint,
    )

    [answer] = await served(MemoryStore(), open_to_all, request(method, "/coupons/shop", b"", {}))

    assert answer.status == 401
