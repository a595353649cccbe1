"""The recipe "Add a format" in CONTRIBUTING.md: orders with coupons, sent with a key."""

from enum import StrEnum

import msgspec
import pytest
from coupon_gateway import ORDER, sent_of, served

from memory_store.store import MemoryStore
from raw_http import request
from twite.domain.errors import MalformedRequest
from twite.formats.parsed_request import Native, ParsedRequest
from twite.http.authorization import WRONG_KEY
from twite.http.responses import HttpRefusal
from twite.http.route import FULL_BODY, Route, RouteAuthentication, source_key
from twite.http.routes.native import taking


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


ROW = Route(
    path="/coupons",
    methods=("POST",),
    label="/coupons",
    authenticate=source_key,
    answer=taking(ToyEndpoint.COUPONS, lambda request, _source: read_coupon(request.body)),
    body=FULL_BODY,
    takes_json=True,
    endpoint=ToyEndpoint.COUPONS,
)


async def test_new_format_is_parsed_and_accepted_on_its_own_route():
    store = MemoryStore()
    key = {"Authorization": "Bearer a-source-key"}

    refused, unreadable, answer = await served(
        store,
        request("POST", "/coupons", ORDER, {}),
        request("POST", "/coupons", b'{"order": 1}', key),
        request("POST", "/coupons", ORDER, key),
        rows=[ROW],
    )

    assert (refused.status, unreadable.status, answer.status) == (401, 400, 202)
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, [])
    sent = await sent_of(store)
    assert b"49.90" in sent
    assert b"shopper" not in sent


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
@pytest.mark.parametrize("endpoint", [None, ToyEndpoint.COUPONS])
async def test_signature_is_verified_with_every_method(method, endpoint):
    def refuse(_source, _headers, _body):
        raise HttpRefusal(WRONG_KEY)

    signed = msgspec.structs.replace(
        ROW,
        authenticate=RouteAuthentication(check=source_key.check, verify=refuse),
        methods=(),
        takes_json=False,
        endpoint=endpoint,
    )
    key = {"Authorization": "Bearer a-source-key"}

    [answer] = await served(MemoryStore(), request(method, "/coupons", b"", key), rows=[signed])

    assert answer.status == 401
