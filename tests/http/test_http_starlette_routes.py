from ipaddress import ip_network

import msgspec
import pytest
from http_stage import DESK_TOKEN, Stage

from raw_http import say
from twite.domain.delivery import State
from twite.domain.errors import LedgerUnavailable
from twite.domain.history import ConversionCounts, History, PastAttempt
from twite.domain.people.users import AuditEvent, Role, User, UserAdded
from twite.domain.secret import Secret
from twite.gateway.operations.control import ControlCommand, encoded
from twite.gateway.ports.privacy import EraseStore
from twite.http import HttpLimits, Server
from twite.stores.memory.store import MemoryStore
from twite.testing.builders import NOW, a_source

# How the machine itself asks: by its own name.
ITSELF = {"Host": "localhost:8080"}


def a_life(event: str = "o8z6k", **said) -> History:
    told = {
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
    return History(**(told | said))


async def test_a_life_is_told_attempt_by_attempt(stage):
    stage.records.histories = [
        a_life(
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


async def test_a_life_of_an_event_that_is_not_mapped_is_told(stage):
    stage.records.histories = [a_life("o8z6z")]

    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1001")

    assert (answer.status, answer.json()["event"]) == (200, "o8z6z")


async def test_of_several_events_the_latest_is_told_and_the_others_beside_it(stage):
    stage.records.histories = [a_life(), a_life("o8z6m", received_at=NOW + 1)]

    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1001")

    assert answer.json()["event"] == "o8z6m"
    assert [other["event"] for other in answer.json()["others"]] == ["o8z6k"]


@pytest.mark.parametrize("asked", ["purchase", "o8z6k"])
async def test_one_event_may_be_asked_for_by_our_name_or_x_s_id(stage, asked):
    stage.records.histories = [a_life(), a_life("o8z6m", received_at=NOW + 1)]

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
async def test_a_conversion_id_may_hold_anything_that_a_path_can_spell(stage, path, conversion_id):
    await stage.ask("GET", f"/v1/conversions/o8z6j/{path}")

    assert [asked for _, _, asked in stage.records.asked] == [conversion_id]


async def test_an_unknown_conversion_is_404(stage):
    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1002")

    assert answer.status == 404
    assert answer.faults() == [("", "conversion_unknown")]


async def test_a_source_does_not_see_the_pixels_of_others(staged):
    agency = msgspec.structs.replace(a_source("other", pixel="oka17"), key=Secret("another-key"))
    stage = await staged(sources=[a_source(), agency])
    stage.records.histories = [a_life()]

    answer = await stage.ask("GET", "/v1/conversions/o8z6j/order-1001", key="another-key")

    assert answer.status == 404
    assert stage.records.asked == []


async def test_the_balance_is_that_of_the_source_alone(stage):
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
async def test_what_a_source_may_see_needs_its_key(stage, path):
    answer = await stage.ask("GET", path, key=None)

    assert answer.status == 401


async def test_the_desk_replays_for_whoever_holds_its_token(stage):
    answer = await stage.ask(
        "POST", "/-/desk", b'{"do":"replay","deliveries":[4,7]}', key=DESK_TOKEN
    )

    assert (answer.status, answer.json()) == (200, {"done": 2})
    assert stage.desk.done == [("replay", (4, 7), "", NOW)]


@pytest.mark.parametrize("do", ["replay", "discard"])
async def test_the_desk_is_told_who_did_it_and_what_they_are_sure_of(stage, do):
    audit_event = AuditEvent(
        at=NOW, who="ada (command)", what=do, subject="o8z6j", detail="2: order-1"
    )
    order = {"do": do, "deliveries": [4, 7], "sure": [7], "deed": msgspec.to_builtins(audit_event)}

    answer = await stage.ask("POST", "/-/desk", msgspec.json.encode(order), key=DESK_TOKEN)

    assert answer.status == 200
    assert stage.desk.audit_events == [audit_event]
    assert stage.desk.sure == ({7} if do == "replay" else set())


async def test_the_desk_discards_with_the_note_as_reason(stage):
    answer = await stage.ask(
        "POST", "/-/desk", b'{"do":"discard","deliveries":[4],"note":"a test"}', key=DESK_TOKEN
    )

    assert (answer.status, answer.json()) == (200, {"done": 1})
    assert stage.desk.done == [("discard", (4,), "a test", NOW)]


async def test_the_desk_erases_by_numbers(stage):
    order = b'{"do":"erase","erasing":{"conversions":[4,7],"keys":["AAAAAAAAAAAAAAAAAAAAAA=="]}}'

    answer = await stage.ask("POST", "/-/desk", order, key=DESK_TOKEN)

    assert (answer.status, answer.json()) == (200, {"done": 2})
    assert stage.eraser.told == [EraseStore(conversions=(4, 7), keys=(bytes(16),))]


async def test_the_desk_changes_users_and_writes_the_audit_log(staged):
    people = MemoryStore().people
    stage = await staged(people=people)
    audit_event = AuditEvent(at=NOW, who="ada (command)", what="add user", subject="eve")
    times = {"created_at": NOW, "password_at": NOW}
    user = User(name="eve", password=Secret("a hash"), role=Role.ADMIN, **times)
    add = encoded(ControlCommand.changing(UserAdded(user=user), audit_event=audit_event))
    note = encoded(ControlCommand(do="note", audit_event=audit_event))

    orders = (add, add, note)
    answers = [await stage.ask("POST", "/-/desk", order, key=DESK_TOKEN) for order in orders]

    assert [answer.json() for answer in answers] == [
        {"done": 1, "result": "done"},
        {"done": 0, "result": "taken"},
        {"done": 1},
    ]
    assert await people.user("eve") == user
    assert [entry.audit_event for entry in await people.audit(limit=9)] == [
        audit_event,
        audit_event,
    ]


@pytest.mark.parametrize("key", [None, "wrong", "a-source-key", "\xe9"])
async def test_without_its_token_there_is_no_desk(stage, key):
    answer = await stage.ask("POST", "/-/desk", b'{"do":"replay","deliveries":[4]}', key=key)

    assert answer.status == 404
    assert answer.faults() == [("", "route")]
    assert stage.desk.done == []


async def test_a_gateway_without_a_token_has_no_desk(staged):
    stage = await staged(control_token=None)

    answer = await stage.ask("POST", "/-/desk", b"{}", key="None")

    assert answer.status == 404


@pytest.mark.parametrize(
    "order",
    [
        b"",
        b"null",
        b'{"do":"burn","deliveries":[1]}',
        b'{"do":"replay","deliveries":[-1]}',
        b'{"do":"replay","deliveries":[9223372036854775808]}',
        b'{"do":"replay","deliveries":[1],"more":1}',
        b'{"do":"replay"}',
        b'{"do":"erase"}',
        b'{"do":"note"}',
        b'{"do":"change","deed":{"at":1,"who":"ada","what":"add user"}}',
        b'{"do":"change","change":{"type":"Nothing"},"deed":{"at":1,"who":"a","what":"b"}}',
        b'{"do":"erase","erasing":{"conversions":[-1]}}',
        b'{"do":"erase","erasing":{"everybody":true}}',
        b"[" * 100_000,
    ],
)
async def test_an_order_that_is_not_one_is_400(stage, order):
    answer = await stage.ask("POST", "/-/desk", order, key=DESK_TOKEN)

    assert answer.status == 400
    assert answer.faults() == [("", "wrong_shape")]
    assert stage.desk.done == []


async def test_health_is_that_the_loop_runs(stage):
    stage.why_not_ready = "the disk is full"

    answer = await stage.ask("GET", "/healthz", key=None)

    assert (answer.status, answer.json()) == (200, {"status": "ok"})


async def test_readiness_is_that_submissions_can_be_taken(stage):
    ready = await stage.ask("GET", "/readyz", key=None)
    stage.why_not_ready = "the disk is full"
    not_ready = await stage.ask("GET", "/readyz", key=None)

    assert (ready.status, not_ready.status) == (200, 503)
    assert not_ready.json()["errors"][0]["message"].endswith(": the disk is full")


async def test_a_collector_that_closes_is_not_ready(stage):
    stage.collector.closing()

    answer = await stage.ask("GET", "/readyz", key=None)

    assert answer.status == 503


async def test_the_machine_itself_may_read_the_metrics(stage):
    stage.records.kept = [ConversionCounts(source="shop", pixel="o8z6j")]

    answer = await stage.ask("GET", "/metrics", key=None, headers=ITSELF)

    assert (answer.status, answer.body) == (200, b"accounts 1\n")
    assert answer.headers["content-type"].startswith("text/plain; version=")


async def test_who_comes_through_a_proxy_of_the_machine_is_not_the_machine(staged):
    open_stage = await staged()
    stage = await staged(trusted_proxies=[ip_network("127.0.0.0/8")])
    forwarded = ITSELF | {"X-Forwarded-For": "203.0.113.7"}

    answers = [
        await open_stage.ask("GET", "/metrics", key=None, headers=forwarded),
        await stage.ask("GET", "/metrics", key=None, headers=forwarded),
        await stage.ask(
            "GET",
            "/metrics",
            key=None,
            headers=ITSELF | {"X-Forwarded-For": "127.0.0.1, 203.0.113.7"},
        ),
    ]

    assert [answer.status for answer in answers] == [401, 401, 401]


@pytest.mark.parametrize(
    "said",
    [
        {"X-Real-IP": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"Via": "1.1 front"},
        {"X-Forwarded-Host": "t.shop.example"},
        {"CF-Connecting-IP": "203.0.113.7"},
        {"X-Forwarded-For": "::1"},
        {"Host": "t.shop.example"},
        {"Host": "rebound.example:8080"},
    ],
)
async def test_a_proxy_of_the_machine_shows_itself_by_any_header_or_by_the_name_it_is_asked_by(
    staged, said
):
    stage = await staged(
        trusted_proxies=[ip_network("127.0.0.0/8")], metrics_key=Secret("a-metrics-key")
    )

    headers = ITSELF | said
    answers = [
        await stage.ask("GET", "/metrics", key=None, headers=headers),
        await stage.ask("GET", "/metrics", key="a-metrics-key", headers=headers),
    ]

    assert [answer.status for answer in answers] == [401, 200]
    assert "through no proxy" in answers[0].json()["errors"][0]["message"]


async def test_from_elsewhere_the_metrics_key_opens_the_metrics_and_no_sources_key_does(staged):
    stage = await staged(metrics_key=Secret("a-metrics-key"))
    forwarded = {"X-Forwarded-For": "203.0.113.7"}

    answers = [
        await stage.ask("GET", "/metrics", headers=forwarded),
        await stage.ask("GET", "/metrics", key="a-metrics-key", headers=forwarded),
    ]

    assert [answer.status for answer in answers] == [401, 200]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/conversions/", "/nowhere", "//v1/conversions"])
async def test_an_unknown_route_is_404_as_json(stage, path):
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
        ("GET", "/-/desk", {"POST"}),
    ],
)
async def test_a_wrong_method_is_405_and_names_the_right_ones(stage, method, path, allowed):
    answer = await stage.ask(method, path)

    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert answer.faults() == [("", "method")]


async def test_a_head_request_gets_no_body(stage):
    answer = await stage.ask("HEAD", "/healthz")

    assert (answer.status, answer.body) == (200, b"")


async def test_a_store_that_is_gone_is_503(stage):
    stage.records.trouble = LedgerUnavailable(reason="gone", retry_after=5)

    answer = await stage.ask("GET", "/v1/accounting")

    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"


async def test_the_unexpected_on_a_quiet_route_is_500_and_told_once(stage):
    stage.records.trouble = ZeroDivisionError()

    answer = await stage.ask("GET", "/v1/accounting")

    assert answer.status == 500
    assert [notice.where for notice in stage.notices.seen] == ["/v1/accounting"]


# --- a proxy that says nothing: nginx's proxy_pass without more ----------------------------------

NGINX = b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [
        {"public_url": "https://t.shop.example"},
        {"console_url": "https://twite.shop.example"},
        {"public_url": "http://127.0.0.1:8080", "console_url": "https://twite.shop.example"},
        {"trusted_proxies": [ip_network("127.0.0.1/32")]},
        {"trusted_proxies": [ip_network("10.0.0.0/8")]},
    ],
)
async def test_behind_a_proxy_that_says_nothing_the_metrics_are_closed(staged, said):
    stage = await staged(**said, metrics_key=Secret("a-metrics-key"))

    silent = await stage.say(NGINX % stage.server.port)
    keyed = await stage.ask("GET", "/metrics", key="a-metrics-key", headers=ITSELF)

    assert b"401" in silent.splitlines()[0]
    assert keyed.status == 200


async def test_at_the_local_address_the_machine_itself_reads_them(staged, unused_tcp_port):
    local = unused_tcp_port
    stage = Stage(public_url="https://t.shop.example", local_port=local)
    stage.server = Server(
        stage.collector, host="127.0.0.1", port=0, local=("127.0.0.1", local), limits=HttpLimits()
    )
    await stage.server.start()
    try:
        silent = await say(stage.server.port, NGINX % stage.server.port)
        itself = await say(local, NGINX % local)
        rebound = await say(local, NGINX.replace(b"127.0.0.1:%d", b"rebound.example:%d") % local)
    finally:
        await stage.server.stop()

    lines = [answer.splitlines()[0] for answer in (silent, itself, rebound)]
    assert [line.split()[1] for line in lines] == [b"401", b"200", b"401"]


async def test_a_public_address_of_this_machine_stands_for_no_proxy(staged):
    stage = await staged(public_url="http://127.0.0.1:8080")

    assert b"200" in (await stage.say(NGINX % stage.server.port)).splitlines()[0]
