from urllib.parse import quote

import msgspec
import pytest
from http_stage import KEY

from builders import NOW, a_destination
from twite.domain.destination import OAuthKeys
from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.outcome import XComplaint
from twite.domain.secret import Secret
from twite.gateway.ingest.receipts import XAcceptReceipt, XAcceptRefusal
from twite.x.oauth1 import sign

PATH = "/12/measurement/conversions/o8z6j"
BODY = b'{"conversions":[{"event_id":"o8z6k"}]}'
TOKEN = {"X-Pixel-Token": "emulator-pixel-token-o8z6j"}
KEYS = OAuthKeys(
    consumer_key="consumer",
    consumer_secret=Secret("consumer-secret"),
    token="token",
    token_secret=Secret("token-secret"),
)
SIGNED_PIXEL = msgspec.structs.replace(a_destination(), credentials=KEYS, account="18ce54d4x5t")


async def post(stage, path=PATH, body=BODY, *, headers=TOKEN, method="POST"):
    return await stage.ask(method, path, body, key=None, headers=headers)


def signature(*, url=f"https://t.shop.example{PATH}", nonce="n1", keys=KEYS, at=NOW // 1_000):
    return {"Authorization": sign(method="POST", url=url, keys=keys, nonce=nonce, timestamp=at)}


@pytest.mark.parametrize("version", ["11", "12"])
async def test_accepted_conversion_has_xs_response_and_twites_receipt(staged, version):
    pixel = msgspec.structs.replace(a_destination(), account="18ce54d4x5t")
    stage = await staged(destinations={"o8z6j": pixel})
    stage.accept.x_answer = XAcceptReceipt(receipt="a-receipt", processed=2)

    answer = await post(stage, f"/{version}/measurement/conversions/o8z6j")

    assert answer.status == 200
    assert answer.headers["x-current-api-version"] == version
    assert answer.json() == {
        "request": {"params": {"account_id": "18ce54d4x5t"}},
        "data": {"conversions_processed": 2, "debug_id": "a-receipt"},
    }
    assert stage.accept.seen == [("o8z6j", BODY, None)]


async def test_response_for_a_pixel_without_an_account_names_no_account(stage):
    answer = await post(stage)

    assert answer.json()["request"] == {"params": {}}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Pixel-Token": ""},
        {"X-Pixel-Token": "wrong"},
        {"X-Pixel-Token": "\xe9"},
        {"Authorization": f"Bearer {KEY}"},
        signature(),
    ],
)
async def test_wrong_pixel_token_is_401_in_x_format(stage, headers):
    answer = await post(stage, headers=headers)

    assert answer.status == 401
    assert answer.json() == {
        "errors": [
            {
                "code": "UNAUTHORIZED_ACCESS",
                "message": "This request is not properly authenticated",
            }
        ],
        "request": {"params": {}},
    }
    assert stage.accept.seen == []


@pytest.mark.parametrize(
    "url",
    [
        f"https://t.shop.example{PATH}",  # the host as sent, even if a proxy changed the scheme
        f"http://t.shop.example{PATH}",
        f"https://public.example{PATH}",  # at the public address, even if a proxy changed the host
    ],
)
async def test_signature_of_the_called_host_is_valid(staged, url):
    stage = await staged(destinations={"o8z6j": SIGNED_PIXEL}, public_url="https://public.example/")

    answer = await post(stage, headers=signature(url=url))

    assert answer.status == 200


async def test_query_is_part_of_the_signature(staged):
    stage = await staged(destinations={"o8z6j": SIGNED_PIXEL})
    path = f"{PATH}?trace=1"

    answers = [
        await post(stage, path, headers=signature(url=f"https://t.shop.example{path}")),
        await post(stage, path, headers=signature(nonce="n2")),
    ]

    assert [answer.status for answer in answers] == [200, 401]


@pytest.mark.parametrize(
    "headers",
    [
        signature(url=f"https://ads-api.x.com{PATH}"),
        signature(url="https://t.shop.example/12/measurement/conversions/other"),
        signature(at=NOW // 1_000 - 301),
        signature(at=NOW // 1_000 + 301),
        signature(keys=msgspec.structs.replace(KEYS, token_secret=Secret("wrong"))),
        signature(keys=msgspec.structs.replace(KEYS, token="other")),
        {"Authorization": "OAuth nonsense"},
        {"Authorization": 'OAuth oauth_nonce="\xe9"'},
        TOKEN,
    ],
)
async def test_invalid_signature_is_401(staged, headers):
    stage = await staged(destinations={"o8z6j": SIGNED_PIXEL})

    answer = await post(stage, headers=headers)

    assert answer.status == 401
    assert stage.accept.seen == []


async def test_nonce_is_accepted_once(staged):
    stage = await staged(destinations={"o8z6j": SIGNED_PIXEL})
    await post(stage, headers=signature(nonce="once"))

    again = await post(stage, headers=signature(nonce="once"))
    fresh = await post(stage, headers=signature(nonce="another"))

    assert (again.status, fresh.status) == (401, 200)


async def test_unknown_pixel_is_404_in_x_format(stage):
    answer = await post(stage, "/12/measurement/conversions/zzz")

    assert answer.status == 404
    assert answer.json() == {
        "errors": [
            {
                "code": "NOT_FOUND",
                "message": "pixel_id (zzz) was not found",
                "parameter": "pixel_id",
            }
        ],
        "request": {"params": {}},
    }


@pytest.mark.parametrize(
    "path",
    [
        "/12/measurement/conversions",
        "/12/measurement/conversions/",
        "/12/measurement/conversions/o8z6j/",
        "/12/measurement/conversions/o8z6j/more",
        "/12/accounts",
        "/11/",
    ],
)
async def test_unknown_route_is_404_in_x_format(stage, path):
    answer = await post(stage, path)

    assert answer.status == 404
    assert answer.json()["errors"] == [
        {"code": "ROUTE_NOT_FOUND", "message": "The requested resource could not be found"}
    ]


async def test_wrong_method_on_the_x_route_is_405_in_x_format(stage):
    answer = await post(stage, body=b"", method="GET")

    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["errors"][0]["code"] == "METHOD_NOT_ALLOWED"


async def test_refusals_of_conversions_have_x_format(staged):
    stage = await staged(destinations={"o8z6j": SIGNED_PIXEL})
    stage.accept.x_answer = XAcceptRefusal(
        status=404,
        complaints=(
            XComplaint(code="NOT_FOUND", message="event_id (abc) …", parameter="event_id"),
            XComplaint(code="INVALID_PARAMETER", message="At least one user …"),
        ),
    )

    answer = await post(stage, headers=signature())

    assert answer.status == 404
    assert answer.json() == {
        "errors": [
            {"code": "NOT_FOUND", "message": "event_id (abc) …", "parameter": "event_id"},
            {"code": "INVALID_PARAMETER", "message": "At least one user …", "parameter": ""},
        ],
        "request": {"params": {"account_id": "18ce54d4x5t"}},
    }


async def test_full_queue_is_429_with_the_reset_time(stage):
    stage.accept.x_answer = QueueFull(reason="full", retry_after=7)

    answer = await post(stage)

    assert answer.status == 429
    assert answer.json()["errors"][0]["code"] == "TOO_MANY_REQUESTS"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-rate-limit-remaining"] == "0"
    assert answer.headers["x-rate-limit-reset"] == str(NOW // 1_000 + 7)


async def test_failed_commit_is_503(stage):
    stage.accept.x_answer = LedgerUnavailable(reason="disk full", retry_after=30)

    answer = await post(stage)

    assert answer.status == 503
    assert answer.json()["errors"][0]["code"] == "SERVICE_UNAVAILABLE"
    assert answer.headers["retry-after"] == "30"


async def test_unexpected_error_is_500_without_its_text(stage):
    stage.accept.x_answer = ValueError("shopper@example.com")

    answer = await post(stage)

    assert answer.status == 500
    assert answer.json()["errors"][0]["code"] == "INTERNAL_ERROR"
    assert "shopper" not in repr(stage.notices.seen)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Type": "text/plain"}, 415), ({"Content-Length": "1048577"}, 413)],
)
async def test_refusals_of_the_http_server_have_x_format(stage, headers, status):
    answer = await post(stage, headers=TOKEN | headers)

    assert answer.status == status
    assert answer.json()["errors"][0]["code"] == "INVALID_PARAMETER"
    assert answer.json()["request"] == {"params": {}}


async def test_url_encoded_pixel_in_the_path_is_decoded(stage):
    answer = await post(stage, f"/12/measurement/conversions/{quote('ü')}")

    assert answer.json()["errors"][0]["message"] == "pixel_id (ü) was not found"
