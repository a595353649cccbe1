import msgspec
import pytest

from builders import NOW, a_source
from twite.domain.delivery import State
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.domain.history import ConversionCounts, History, PastAttempt
from twite.domain.secret import Secret


def a_history(event: str = "o8z6k", **said) -> History:
    reported = {
        "delivery": 1,
        "pixel": "o8z6j",
        "event": event,
        "conversion_id": "order-1001",
        "state": State.DELIVERED,
        "source": "shop",
        "receipt": "r1",
        "received_at": NOW,
        "deadline_at": NOW + 1_000,
        "sent": b'{"event_id":"o8z6k","value":"49.90"}',
        "attempts": (),
    }
    return History(**(reported | said))


async def test_history_lists_each_attempt(stage):
    stage.records.histories = [
        a_history(
            attempts=(
                PastAttempt(at=NOW + 5, outcome="errored", status=503, answer="try later"),
                PastAttempt(at=NOW + 9, outcome="errored", status=None, answer="", ambiguous=True),
            ),
            duplicates=1,
            state=State.HELD,
            reason="not known whether X has it",
            due_at=NOW + 60_000,
        )
    ]

    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1001")

    assert answer.status == 200
    assert answer.json() == {
        "pixel": "o8z6j",
        "event": "o8z6k",
        "conversion_id": "order-1001",
        "state": "held",
        "source": "shop",
        "receipt": "r1",
        "received_at": "2026-11-25T09:46:40.000Z",
        "deadline_at": "2026-11-25T09:46:41.000Z",
        "sent": {"event_id": "o8z6k", "value": "49.90"},
        "attempts": [
            {
                "at": "2026-11-25T09:46:40.005Z",
                "outcome": "errored",
                "status": 503,
                "answer": "try later",
                "ambiguous": False,
            },
            {
                "at": "2026-11-25T09:46:40.009Z",
                "outcome": "errored",
                "status": None,
                "answer": "",
                "ambiguous": True,
            },
        ],
        "duplicates": 1,
        "reason": "not known whether X has it",
        "due_at": "2026-11-25T09:47:40.000Z",
    }
    assert stage.records.asked == [("o8z6j", None, "order-1001")]


async def test_history_of_an_unmapped_event_is_returned(stage):
    stage.records.histories = [a_history("o8z6z")]

    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1001")

    assert (answer.status, answer.json()["event"]) == (200, "o8z6z")


async def test_history_returns_the_latest_event_and_lists_the_others(stage):
    stage.records.histories = [a_history(), a_history("o8z6m", received_at=NOW + 1)]

    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1001")

    assert answer.json()["event"] == "o8z6m"
    assert [other["event"] for other in answer.json()["others"]] == ["o8z6k"]


@pytest.mark.parametrize("asked", ["purchase", "o8z6k"])
async def test_history_can_be_selected_by_event_name_or_event_id(stage, asked):
    stage.records.histories = [a_history(), a_history("o8z6m", received_at=NOW + 1)]

    answer = await stage.ask("GET", f"/v1/conversions/o8z6j/order-1001?event={asked}")

    assert answer.json()["event"] == "o8z6k"
    assert "others" not in answer.json()


@pytest.mark.parametrize(
    ("path", "conversion_id"),
    [
        ("order%2F1001", "order/1001"),
        ("order/1001", "order/1001"),
        ("caf%C3%A9%20%25", "café %"),
        ("a%FFb", "a\ufffdb"),
    ],
)
async def test_conversion_id_in_the_path_can_contain_any_character(stage, path, conversion_id):
    await stage.ask("GET", f"/v1/conversions/o8z6j/{path}")

    assert [asked for _, _, asked in stage.records.asked] == [conversion_id]


async def test_unknown_conversion_is_404(stage):
    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1002")

    assert answer.status == 404
    assert answer.faults() == [("", "conversion_unknown")]


async def test_source_cannot_read_pixels_of_other_sources(staged):
    agency = msgspec.structs.replace(a_source("other", pixel="oka17"), key=Secret("another-key"))
    stage = await staged(sources=[a_source(), agency])
    stage.records.histories = [a_history()]

    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1001", key="another-key")

    assert answer.status == 404
    assert stage.records.asked == []


async def test_accounting_covers_only_the_source(stage):
    stage.records.kept = [
        ConversionCounts(source="shop", pixel="o8z6j", received=5, delivered=3, pending=1),
        ConversionCounts(source="shop", pixel="", received=1, rejected=1),
        ConversionCounts(source="other", pixel="o8z6j", received=100, delivered=100),
    ]

    answer = await stage.ask("GET", "/v1/accounting")

    rest = {"duplicate": 0, "suppressed": 0, "dead": 0, "held": 0}
    parts = [
        {"received": 5, "delivered": 3, "rejected": 0, "pending": 1, "balance": 1}
        | {"source": "shop", "pixel": "o8z6j"}
        | rest,
        {"received": 1, "delivered": 0, "rejected": 1, "pending": 0, "balance": 0}
        | {"source": "shop", "pixel": ""}
        | rest,
    ]
    whole = {"received": 6, "delivered": 3, "rejected": 1, "pending": 1, "balance": 1} | rest
    assert answer.json() == whole | {"by": parts}


@pytest.mark.parametrize("path", ["/v1/conversions/o8z6j/order-1001", "/v1/accounting"])
async def test_source_routes_require_the_source_key(stage, path):
    answer = await stage.ask("GET", path, key=None)

    assert answer.status == 401


async def test_healthz_is_ok_while_the_event_loop_runs(stage):
    stage.why_not_ready = "the disk is full"

    answer = await stage.ask("GET", "/healthz", key=None)

    assert (answer.status, answer.json()) == (200, {"status": "ok"})


async def test_readyz_says_whether_submissions_are_accepted(stage):
    ready = await stage.ask("GET", "/readyz", key=None)
    stage.why_not_ready = "the disk is full"
    not_ready = await stage.ask("GET", "/readyz", key=None)

    assert (ready.status, not_ready.status) == (200, 503)
    assert not_ready.json()["errors"][0]["message"].endswith(": the disk is full")


async def test_readyz_fails_during_shutdown(stage):
    stage.collector.closing()

    answer = await stage.ask("GET", "/readyz", key=None)

    assert answer.status == 503


@pytest.mark.parametrize("path", ["/v1", "/v1/conversions/", "/nowhere", "//v1/conversions"])
async def test_unknown_route_is_404_as_json(stage, path):
    answer = await stage.ask("GET", path)

    assert answer.status == 404
    assert answer.faults() == [("", "route")]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/conversions", {"POST"}),
        ("PUT", "/v1/conversions", {"POST"}),
        ("DELETE", "/v1/conversions/o8z6j/order-1001", {"GET", "HEAD"}),
        ("POST", "/v1/accounting", {"GET", "HEAD"}),
        ("GET", "/-/control", {"POST"}),
    ],
)
async def test_wrong_method_is_405_with_the_allowed_methods(stage, method, path, allowed):
    answer = await stage.ask(method, path)

    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert answer.faults() == [("", "method")]


async def test_head_response_has_no_body(stage):
    answer = await stage.ask("HEAD", "/healthz")

    assert (answer.status, answer.body) == (200, b"")


async def test_unavailable_store_is_503(stage):
    stage.records.problem = LedgerUnavailable(reason="gone", retry_after=5)

    answer = await stage.ask("GET", "/v1/accounting")

    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"


async def test_read_error_of_the_store_is_503_and_reported_with_a_fix(stage):
    stage.records.problem = StoreUnusable(
        path="twite.db", reason="it is damaged (malformed)", fix="Run twite recover"
    )

    answer = await stage.ask("GET", "/v1/accounting")

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.faults() == [("", "ledger_unavailable")]
    assert [notice.reason for notice in stage.notices.seen] == [
        "the store is unusable: it is damaged (malformed). Run twite recover"
    ]


async def test_unexpected_error_is_500_and_reported_once(stage):
    stage.records.problem = ZeroDivisionError()

    answer = await stage.ask("GET", "/v1/accounting")

    assert answer.status == 500
    assert [notice.where for notice in stage.notices.seen] == ["/v1/accounting"]
