"""Requests that are refused as a whole are recorded by source and code."""

import gzip
import json

import pytest
from tag_stage import CLICK, KEY, TagStage, stage_arguments

from twite.gateway.ports.events import TurnedAway

HALF = '"Mug \\ud83d"'
DENIED = '{"ad_storage":"denied"}'
JSON_TYPE = {"Content-Type": "application/json"}
MANY = json.dumps({"conversions": [{}] * 1_001}).encode()


@pytest.fixture
async def api(staged) -> TagStage:
    needs, store = stage_arguments()
    return TagStage(await staged(**needs), store)


def recorded_refusals(api: TagStage) -> list[tuple[str, str, str]]:
    return [
        (notice.source, notice.endpoint, notice.code)
        for notice in api.stage.notices.seen
        if isinstance(notice, TurnedAway)
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/t?s=shop", b"{", 400, ("shop", "beacon", "not_json")),
        ("/t?s=shop", b" " * 65_537, 413, ("shop", "beacon", "body_too_large")),
        ("/data?v=2", b"{", 400, ("shop", "data_tag", "not_json")),
        ("/data?v=2", b"5", 400, ("shop", "data_tag", "wrong_shape")),
        ("/mp/collect", b"{}", 400, ("shop", "measurement_protocol", "wrong_shape")),
        ("/g/collect", b"v=1", 400, ("shop", "ga4", "wrong_shape")),
        ("/g/collect?v=2&tid=G", b"en=a\n" * 51, 413, ("shop", "ga4", "too_many")),
    ],
)
async def test_refused_page_request_is_recorded(api, path, body, status, said):
    answer = await api.of_page("POST", path, body)

    assert (answer.status, recorded_refusals(api)) == (status, [said])


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/data?v=2", b"{", 400, ("shop", "data_tag", "not_json")),
        ("/mp/collect", b"{}", 400, ("shop", "measurement_protocol", "wrong_shape")),
        ("/g/collect", b"v=1", 400, ("shop", "ga4", "wrong_shape")),
        ("/v1/sgtm", b"{}", 400, ("shop", "sgtm", "wrong_shape")),
        ("/v1/sgtm", b'{"event":{},"pixel":"z"}', 422, ("shop", "sgtm", "pixel_unknown")),
        ("/v1/conversions", b"{", 400, ("shop", "native", "not_json")),
        ("/v1/conversions", MANY, 413, ("shop", "native", "too_many")),
    ],
)
async def test_refused_server_request_is_recorded(api, path, body, status, said):
    answer = await api.of_server("POST", path, body, key=KEY, headers=JSON_TYPE)

    assert (answer.status, recorded_refusals(api)) == (status, [said])


async def test_refused_request_in_x_format_is_recorded_with_xs_codes(api):
    answer = await api.stage.ask(
        "POST",
        "/12/measurement/conversions/o8z6j",
        b"{",
        key=None,
        headers=JSON_TYPE | {"X-Pixel-Token": "token"},
    )

    assert answer.status == 400
    assert recorded_refusals(api) == [("x-api", "x_api", answer.json()["errors"][0]["code"])]


async def test_request_with_a_wrong_content_encoding_is_recorded_once(api):
    headers = JSON_TYPE | {"Content-Encoding": "gzip"}

    answer = await api.of_server(
        "POST", "/v1/conversions", gzip.compress(b"{}")[:-4], key=KEY, headers=headers
    )

    assert (answer.status, recorded_refusals(api)) == (
        400,
        [("shop", "native", "encoding_malformed")],
    )


@pytest.mark.parametrize(
    ("path", "key"), [("/t?s=other", None), ("/v1/sgtm", "another"), ("/v1/conversions", None)]
)
async def test_refused_request_of_an_unknown_source_is_not_recorded(api, path, key):
    await api.of_server("POST", path, b"{", key=key, headers=JSON_TYPE)

    assert recorded_refusals(api) == []


async def test_rejected_conversion_is_not_a_refused_request(api):
    event = {"event_name": "purchase", "value": "much", "currency": "EUR", "twclid": CLICK}

    answer = await api.of_page("POST", "/data?v=2", json.dumps(event).encode())

    assert (answer.status, recorded_refusals(api)) == (422, [])


async def test_lone_surrogate_rejects_no_conversion_on_page_and_tag_routes(api):
    def named(order: str) -> str:
        return f'"transaction_id":"{order}","twclid":"{CLICK}","description":{HALF}'

    page = f'{{"event":"purchase","conversion_id":"A","twclid":"{CLICK}","description":{HALF}}}'
    bodies = {
        "/t?s=shop": f'{{"v":1,"conversions":[{page}]}}',
        "/data?v=2": f'{{"event_name":"purchase",{named("B")}}}',
        "/mp/collect": f'{{"events":[{{"name":"purchase","params":{{{named("C")}}}}}]}}',
    }
    for path, body in bodies.items():
        await api.of_page("POST", path, body.encode())
    container = f'{{"event":{{"event_name":"purchase",{named("D")}}}}}'
    await api.of_server("POST", "/v1/sgtm", container.encode(), key=KEY, headers=JSON_TYPE)
    hit = f"en=purchase&ep.event_id=E&ep.twclid={CLICK}&ep.description=%ED%A0"
    await api.of_page("GET", f"/g/collect?v=2&tid=G&{hit}")

    sent = {
        conversion["conversion_id"]: conversion["description"] for conversion in await api.sent()
    }
    assert sorted(sent) == ["A", "B", "C", "D", "E"]
    assert {text.rstrip("\ufffd") for text in sent.values()} == {"Mug ", ""}
    assert recorded_refusals(api) == []


async def test_unreadable_conversion_of_a_list_is_counted_and_named(api):
    good = f'{{"event_name":"purchase","transaction_id":"A","twclid":"{CLICK}"}}'
    twice = '{"event_name":"purchase","value":1,"value":2}'

    answer = await api.of_page("POST", "/data?v=2", f"[{twice},{good}]".encode())

    assert (answer.status, len(answer.json())) == (200, 2)
    assert [conversion["conversion_id"] for conversion in await api.sent()] == ["A"]
    [account] = await api.store.balance()
    assert (account.received, account.rejected, account.balance) == (2, 1, 0)


async def test_debug_route_names_an_unreadable_event(api):
    good = f'{{"name":"purchase","params":{{"transaction_id":"A","twclid":"{CLICK}"}}}}'

    answer = await api.of_page(
        "POST", "/debug/mp/collect", f'{{"events":[{good},{{"name":5}}]}}'.encode()
    )

    said = {
        error["fieldPath"]: error["validationCode"] for error in answer.json()["validationMessages"]
    }
    assert said == {"events[0].ip": "ip_private", "events[1].name": "wrong_type"}


async def test_lone_surrogate_rejects_a_native_conversion_and_keeps_its_denial(api):
    order = f'"event":"purchase","conversion_id":"A","twclid":"{CLICK}"'
    answers = []
    for rest in ("", f',"description":{HALF}', f',"description":{HALF},"consent":{DENIED}'):
        answer = await api.of_server(
            "POST", "/v1/conversions", f"{{{order}{rest}}}".encode(), key=KEY, headers=JSON_TYPE
        )
        answers.append((answer.status, answer.json()))

    (_, first), (status, second), (_, third) = answers
    assert (first["accepted"], status, third["suppressed"]) == (1, 422, 1)
    assert [error["code"] for error in second["rejected"][0]["errors"]] == ["wrong_type"]
    [account] = await api.store.balance()
    assert (account.received, account.pending, account.rejected) == (3, 0, 1)
