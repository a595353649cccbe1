import msgspec
import pytest
from http_stage import CONTROL_TOKEN

from builders import NOW
from memory_store.store import MemoryStore
from twite.domain.people.users import AuditEvent, Role, User, UserAdded
from twite.domain.replay_batch import ReplayBatch, ReplayPart
from twite.domain.secret import Secret
from twite.gateway.operations.control import ControlCommand
from twite.gateway.ports.privacy import EraseStore

AUDIT_EVENT = AuditEvent(
    at=NOW, who="ada (command)", what="replay", subject="o8z6j", detail="2: order-1"
)


def a_part(place):
    return ReplayPart(batch="r1", place=place, cause=None, reason="400", deliveries=(4, 7))


def a_batch():
    return ReplayBatch(
        id="r1",
        at=NOW,
        who="ada (command)",
        pixel="o8z6j",
        event="o8z6k",
        reason="400",
        edit="{}",
        confirmed_at=None,
        total=4,
        parts=2,
    )


async def test_control_route_starts_a_replay_after_its_last_part(staged):
    store = MemoryStore()
    stage = await staged(store=store)
    first = ControlCommand(do="replay", parts=(a_part(0),))
    last = ControlCommand(do="replay", parts=(a_part(1),), batch=a_batch(), audit_event=AUDIT_EVENT)

    answers, loaded = [], []
    for command in (first, last):
        sent = msgspec.json.encode(command)
        answers.append((await stage.ask("POST", "/-/control", sent, key=CONTROL_TOKEN)).json())
        loaded.append(await store.load(ReplayBatch))

    assert answers == [{"done": 1}, {"done": 4}]
    assert loaded == [[], [a_batch()]]
    assert await store.load(ReplayPart) == [a_part(0), a_part(1)]
    assert stage.replays.started.is_set()


async def test_control_route_cancels_a_replay(staged):
    store = MemoryStore()
    await store.put([a_batch()])
    stage = await staged(store=store)
    answers = []
    for name in ("r1", "r2"):
        command = ControlCommand(do="cancel_replay", name=name, audit_event=AUDIT_EVENT)
        sent = msgspec.json.encode(command)
        answers.append(await stage.ask("POST", "/-/control", sent, key=CONTROL_TOKEN))

    (batch,) = await store.load(ReplayBatch)
    assert [answer.status for answer in answers] == [200, 400]
    assert batch.cancelled_by == "ada (command)"


async def test_control_route_records_who_discards(stage):
    order = ControlCommand(do="discard", deliveries=(4, 7), audit_event=AUDIT_EVENT)

    answer = await stage.ask("POST", "/-/control", msgspec.json.encode(order), key=CONTROL_TOKEN)

    assert answer.status == 200
    assert stage.moves.audit_events == [AUDIT_EVENT]


async def test_control_route_discards_with_the_note_as_reason(stage):
    answer = await stage.ask(
        "POST",
        "/-/control",
        b'{"do":"discard","deliveries":[4],"note":"a test"}',
        key=CONTROL_TOKEN,
    )

    assert (answer.status, answer.json()) == (200, {"done": 1})
    assert stage.moves.done == [("discard", (4,), "a test", NOW)]


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
    answer = await stage.ask("POST", "/-/control", b'{"do":"discard","deliveries":[4]}', key=key)

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
        b'{"do":"discard","deliveries":[-1]}',
        b'{"do":"discard","deliveries":[9223372036854775808]}',
        b'{"do":"discard","deliveries":[1],"more":1}',
        b'{"do":"discard"}',
        b'{"do":"replay","batch":{"id":"r1"}}',
        b'{"do":"replay","parts":[{"batch":"r1","deliveries":["one"]}]}',
        b'{"do":"cancel_replay","name":"r1"}',
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
