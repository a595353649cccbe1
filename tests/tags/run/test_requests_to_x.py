"""Requests of templates to X: which ones Twite delivers itself, and how they are answered."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import structs

from builders import a_destination
from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.outcome import XComplaint
from twite.domain.submission import Endpoint
from twite.gateway.ingest.receipts import XAcceptReceipt, XAcceptRefusal
from twite.tags.run.to_x import ToX
from twite.tags.template.effects import HttpEffect

OWN = "http://127.0.0.1:9000"
PATH = "/12/measurement/conversions/o8z6j"
PROXY = "/stape-api/some-key/v1/twitter/auth-proxy"
RECEIPT = XAcceptReceipt(receipt="r-1", processed=2)


class Accept:
    def __init__(self, *, error=None, pixels=("o8z6j",)):
        self.error, self.given = error, []
        self.destinations = {
            pixel: structs.replace(a_destination(pixel), account="acc") for pixel in pixels
        }

    async def from_x(self, **given):
        self.given.append(given)
        if self.error is not None:
            raise self.error
        return RECEIPT


@dataclass
class Proxy:
    accept: Accept
    destinations: dict[str, Any]
    taken: list[Any] = field(default_factory=list)

    async def take(self, *, source, body):
        self.taken.append((source, body, self.accept, sorted(self.destinations)))
        return RECEIPT, None


def to_x(**accept):
    made = Accept(**accept)
    return ToX(
        accept=made,
        proxy=Proxy(made, made.destinations),
        destinations=made.destinations,
        api_url=OWN,
    )


async def take(made, url, *, method="POST", body="ü", **more):
    return await made.take(
        HttpEffect(id=1, url=url, method=method, body=body), source="tag:crm", **more
    )


@pytest.mark.parametrize(
    "url",
    [f"https://ads-api.x.com{PATH}", f"https://ads-api.twitter.com{PATH}/", f"{OWN}{PATH}"],
)
async def test_conversions_for_a_pixel_of_the_settings_are_delivered_by_twite(url):
    made = to_x()
    answer = await take(made, url)

    assert made.accept.given == [
        {
            "destination": made.destinations["o8z6j"],
            "body": "ü".encode(),
            "source": "tag:crm",
            "endpoint": Endpoint.TAG,
        }
    ]
    assert (answer.status, answer.headers) == (200, {"content-type": "application/json"})
    assert json.loads(answer.body) == {
        "request": {"params": {"account_id": "acc"}},
        "data": {"conversions_processed": 2, "debug_id": "r-1"},
    }


async def test_request_to_x_without_a_body_is_accepted_as_empty():
    made = to_x()
    await take(made, f"{OWN}{PATH}", body=None, endpoint=Endpoint.NATIVE)

    [given] = made.accept.given
    assert (given["body"], given["endpoint"]) == (b"", Endpoint.NATIVE)


@pytest.mark.parametrize(
    ("url", "method"),
    [
        (f"https://ads-api.x.com{PATH}", "GET"),
        (f"https://ads-api.x.com{PATH}x", "POST"),
        (f"https://ads-api.x.com/a{PATH}", "POST"),
        (f"https://vendor.example{PATH}", "POST"),
        (f"http://127.0.0.1:9001{PATH}", "POST"),
        ("https://vendor.example/", "POST"),
        (f"https://shop.example{PROXY}", "GET"),
        (f"https://shop.example{PROXY}/more", "POST"),
    ],
)
async def test_requests_that_are_not_conversions_are_sent_by_the_template(url, method):
    made = to_x()

    assert await take(made, url, method=method) is None
    assert (made.accept.given, made.proxy.taken) == ([], [])


async def test_request_for_an_unknown_pixel_is_sent_by_the_template():
    made = to_x(pixels=("o8z6k",))

    assert await take(made, f"https://ads-api.x.com{PATH}") is None


async def test_request_to_stapes_proxy_is_accepted_for_all_pixels():
    made = to_x(pixels=("o8z6k", "o8z6j"))
    answer = await take(made, f"https://shop.example{PROXY}/")

    [(source, body, _, _)] = made.proxy.taken
    assert (source.name, source.key, body) == ("tag:crm", None, "ü".encode())
    assert (source.pixel, source.pixels) == ("o8z6j", {"o8z6j", "o8z6k"})
    assert json.loads(answer.body)["request"] == {"params": {"account_id": None}}


async def test_request_to_stapes_proxy_without_pixels_is_sent_by_the_template():
    made = to_x(pixels=())

    assert await take(made, f"https://shop.example{PROXY}") is None


COMPLAINT = XComplaint(code="INVALID_PARAMETER", message="no", parameter="value")


@pytest.mark.parametrize(
    ("error", "status", "complaints"),
    [
        (
            XAcceptRefusal(status=400, complaints=(COMPLAINT,)),
            400,
            [("INVALID_PARAMETER", "no", "value")],
        ),
        (
            QueueFull(reason="full", retry_after=1),
            429,
            [("TOO_MANY_REQUESTS", "Too many requests", "")],
        ),
        (
            LedgerUnavailable(reason="the disk is full", retry_after=1),
            503,
            [("SERVICE_UNAVAILABLE", "The conversions could not be stored", "")],
        ),
    ],
)
async def test_refusal_of_a_request_to_x_has_xs_format(error, status, complaints):
    answer = await take(to_x(error=error), f"{OWN}{PATH}")

    body = json.loads(answer.body)
    assert (answer.status, body["request"]) == (status, {"params": {}})
    found = [(each["code"], each["message"], each["parameter"]) for each in body["errors"]]
    assert found == complaints


async def test_pixels_are_replaced_by_a_reload():
    made, second = to_x(), Accept(pixels=("o8z6k",))
    made.use(second)

    assert await take(made, f"https://ads-api.x.com{PATH}") is None
    await take(made, f"https://ads-api.x.com{PATH[:-1]}k")
    await take(made, f"https://shop.example{PROXY}")
    assert len(second.given) == 1
    [(_, _, accept, pixels)] = made.proxy.taken
    assert (accept, pixels) == (second, ["o8z6k"])
