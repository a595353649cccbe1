import msgspec
import pytest
from http_stage import CONTROL_TOKEN

from builders import NOW
from memory_store.store import MemoryStore
from twite.domain.people.users import AuditEvent, Role, User, UserAdded
from twite.domain.secret import Secret
from twite.gateway.operations.control import ControlCommand
from twite.gateway.ports.outbox import EditedBody
from twite.gateway.ports.privacy import EraseStore


async def test_control_route_replays_with_its_token(stage):
    answer = await stage.ask(
        "POST", "/-/control", b'{"do":"replay","deliveries":[4,7]}', key=CONTROL_TOKEN
    )

    assert (answer.status, answer.json()) == (200, {"done": 2})
    assert stage.moves.done == [("replay", (4, 7), "", NOW)]


@pytest.mark.parametrize("do", ["replay", "discard"])
async def test_control_route_records_the_user_and_the_confirmed_deliveries(stage, do):
    audit_event = AuditEvent(
        at=NOW, who="ada (command)", what=do, subject="o8z6j", detail="2: order-1"
    )
    written = msgspec.to_builtins(audit_event)
    order = {"do": do, "deliveries": [4, 7], "sure": [7], "audit_event": written}

    answer = await stage.ask("POST", "/-/control", msgspec.json.encode(order), key=CONTROL_TOKEN)

    assert answer.status == 200
    assert stage.moves.audit_events == [audit_event]
    assert stage.moves.sure == ({7} if do == "replay" else set())


async def test_control_route_discards_with_the_note_as_reason(stage):
    answer = await stage.ask(
        "POST",
        "/-/control",
        b'{"do":"discard","deliveries":[4],"note":"a test"}',
        key=CONTROL_TOKEN,
    )

    assert (answer.status, answer.json()) == (200, {"done": 1})
    assert stage.moves.done == [("discard", (4,), "a test", NOW)]


async def test_control_route_edits_deliveries_and_reports_refusals(stage):
    edited = EditedBody(delivery=4, event="o8z6k", body=b'{"event_id": "o8z6k"}')
    order = ControlCommand(do="edit", edited=(edited,), note="ada: event as currently mapped")

    answer = await stage.ask("POST", "/-/control", msgspec.json.encode(order), key=CONTROL_TOKEN)

    assert (answer.status, answer.json()) == (
        200,
        {"done": 0, "refused": {"4": "has another copy"}},
    )
    assert stage.moves.edited == [edited]


async def test_control_route_erases_by_ids_and_keys(stage):
    order = b'{"do":"erase","erasing":{"conversions":[4,7],"keys":["AAAAAAAAAAAAAAAAAAAAAA=="]}}'

    answer = await stage.ask("POST", "/-/control", order, key=CONTROL_TOKEN)

    assert (answer.status, answer.json()) == (200, {"done": 2})
    assert stage.eraser.reported == [EraseStore(conversions=(4, 7), keys=(bytes(16),))]


async def test_control_route_changes_users_and_writes_the_audit_log(staged):
    people = MemoryStore().people
    stage = await staged(people=people)
    audit_event = AuditEvent(at=NOW, who="ada (command)", what="add user", subject="eve")
    times = {"created_at": NOW, "password_at": NOW}
    user = User(name="eve", password=Secret("a hash"), role=Role.ADMIN, **times)
    change = ControlCommand.changing(UserAdded(user=user), audit_event=audit_event)
    add = msgspec.json.encode(change)
    note = msgspec.json.encode(ControlCommand(do="note", audit_event=audit_event))

    orders = (add, add, note)
    answers = [await stage.ask("POST", "/-/control", order, key=CONTROL_TOKEN) for order in orders]

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
async def test_control_route_without_its_token_is_404(stage, key):
    answer = await stage.ask("POST", "/-/control", b'{"do":"replay","deliveries":[4]}', key=key)

    assert answer.status == 404
    assert answer.faults() == [("", "route")]
    assert stage.moves.done == []


async def test_gateway_without_a_control_token_has_no_control_route(staged):
    stage = await staged(control_token=None)

    answer = await stage.ask("POST", "/-/control", b"{}", key="None")

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
        b'{"do":"change","audit_event":{"at":1,"who":"ada","what":"add user"}}',
        b'{"do":"change","change":{"type":"Nothing"},"audit_event":{"at":1,"who":"a","what":"b"}}',
        b'{"do":"erase","erasing":{"conversions":[-1]}}',
        b'{"do":"erase","erasing":{"everybody":true}}',
        b"[" * 100_000,
    ],
)
async def test_malformed_control_request_is_400(stage, order):
    answer = await stage.ask("POST", "/-/control", order, key=CONTROL_TOKEN)

    assert answer.status == 400
    assert answer.faults() == [("", "wrong_shape")]
    assert stage.moves.done == []
