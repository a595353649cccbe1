"""A worker sends the deliveries of one pixel."""

import asyncio

from builders import a_destination
from fakes import MovingClock, conversions_of, refused, settled, taken
from twite.domain.delivery import SETTLED_IN, SUSPECT, Settlement, Transition, Trigger
from twite.domain.pause import Pause
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import ByConversionId
from twite.gateway.ports.transport import NoResponse
from worker_bench import Setting, rare_looks

HASH_ERROR = ("INVALID_PARAMETER", "hashed_email (abc) is not a valid SHA-256 hash", "hashed_email")
NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")


def unless_bad(*bad):
    """Return answers of X to requests that contain one of these conversion ids."""

    def reply(outbound):
        ids = {conversion["conversion_id"] for conversion in conversions_of(outbound)}
        return refused(NO_IDENTIFIER) if ids & set(bad) else taken(outbound)

    return reply


async def test_recorded_deliveries_are_sent_in_one_request():
    setting = Setting()
    await setting.run.start()

    await setting.record("a", "b", "c")
    await setting.clock.advance(SECOND)

    assert setting.sent() == [["a", "b", "c"]]
    assert await setting.state("b") == "delivered"
    assert await setting.run.stop(within=1_000)


async def test_different_events_are_sent_in_different_requests():
    setting = Setting()
    await setting.record("a", event="o8z6k")
    await setting.record("b", event="o8z6m")

    await setting.run.start()
    await setting.clock.advance(SECOND)

    assert sorted(setting.sent()) == [["a"], ["b"]]
    await setting.run.stop(within=1_000)


async def test_batch_never_exceeds_its_limit():
    setting = Setting(worker_config=WorkerConfig(batch=2))
    await setting.record("a", "b", "c", "d", "e")

    await setting.run.start()
    await setting.clock.advance(SECOND)

    assert sorted(len(ids) for ids in setting.sent()) == [1, 2, 2]
    await setting.run.stop(within=1_000)


async def test_request_without_a_response_is_resent_with_the_same_body():
    setting = Setting(replies=[NoResponse(reason="no answer in time", left=True)])
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(MINUTE)

    assert setting.sent() == [["a"], ["a"]]
    assert setting.transport.sent[0].body == setting.transport.sent[1].body
    assert await setting.state("a") == "delivered"
    await setting.run.stop(within=1_000)


async def test_ambiguous_delivery_is_held_after_forty_hours():
    setting = Setting(replies=[NoResponse(reason="no answer in time", left=True)] * 10_000)
    await setting.run.start()
    await setting.record("a")
    first = setting.clock.now()
    moments = []
    with rare_looks():
        for _ in range(42 * 6):
            before = len(setting.transport.sent)
            await setting.clock.advance(10 * MINUTE)
            if len(setting.transport.sent) > before:
                moments.append(setting.clock.now() - first)

    state = await setting.state("a")

    assert state == "held"
    assert max(moments) <= 40 * HOUR + 10 * MINUTE
    await setting.run.stop(within=1_000)


async def test_unsent_delivery_may_wait_longer_than_forty_hours():
    setting = Setting(replies=[NoResponse(reason="no connection", left=False)] * 2_000)
    await setting.run.start()
    await setting.record("a")

    with rare_looks():
        await setting.clock.advance(50 * HOUR)

    assert await setting.state("a") == "queued"
    await setting.run.stop(within=1_000)


async def test_invalid_conversion_is_dead_and_the_others_are_delivered():
    ids = [f"c{i}" for i in range(500)]
    setting = Setting(replies=[unless_bad("c317")] * 40)
    await setting.run.start()

    await setting.record(*ids)
    await setting.clock.advance(SECOND)

    assert await setting.state("c317") == "dead"
    accounts = await setting.store.balance()
    assert (accounts[0].delivered, accounts[0].dead, accounts[0].balance) == (499, 1, 0)
    assert len(setting.sent()) <= 20
    await setting.run.stop(within=1_000)


async def test_dead_letter_has_the_message_of_x():
    setting = Setting(replies=[refused(HASH_ERROR)])
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(SECOND)

    histories = await setting.store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="a")
    )
    assert histories[0].state == "dead"
    assert "hashed_email (abc) is not a valid SHA-256 hash" in (histories[0].reason or "")
    assert [attempt.outcome for attempt in histories[0].attempts] == ["rejected"]
    await setting.run.stop(within=1_000)


async def test_equal_refusals_pause_the_pixel_and_make_no_delivery_dead():
    ids = [f"c{i}" for i in range(500)]
    setting = Setting(replies=[refused(NO_IDENTIFIER)] * 2_000)
    await setting.run.start()

    await setting.record(*ids)
    await setting.clock.advance(SECOND)

    account = (await setting.store.balance())[0]
    assert (account.dead, account.delivered) == (0, 0)
    assert account.held == 15
    assert account.pending == 485
    assert [pause.pixel for pause in await setting.store.load(Pause)] == ["o8z6j"]
    await setting.run.stop(within=1_000)


async def test_revoked_token_pauses_the_pixel_and_loses_no_conversion():
    revoked = refused(
        ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", ""), status=401
    )
    setting = Setting(replies=[revoked, revoked])
    await setting.run.start()

    await setting.record("a", "b")
    await setting.clock.advance(MINUTE + SECOND)
    during = [await setting.state("a"), await setting.state("b"), setting.sent()]
    await setting.clock.advance(2 * MINUTE)

    assert during == ["queued", "queued", setting.sent()[:2]]
    # Each probe is a different conversion.
    together, probe, *others = setting.sent()
    assert together == ["a", "b"]
    assert sorted([probe, *others[:1]]) == [["a"], ["b"]]
    assert others[1:] == [probe]
    assert await setting.store.load(Pause) == []
    assert await setting.state("b") == "delivered"
    await setting.run.stop(within=1_000)


async def test_pause_is_kept_over_a_restart_and_probed_at_the_start():
    revoked = refused(
        ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", ""), status=401
    )
    setting = Setting(replies=[revoked])
    await setting.run.start()
    await setting.record("a", "b")
    await setting.clock.advance(SECOND)
    await setting.run.stop(within=1_000)

    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(10 * SECOND)

    assert setting.sent() == [["a", "b"], ["a"], ["b"]]
    await setting.run.stop(within=1_000)


async def test_unknown_event_holds_only_its_own_conversions():
    foreign = refused(
        ("NOT_FOUND", "event_id (o8z6k) does not belong to provided account", "event_id"),
        ("INVALID_PARAMETER", "event_id (o8z6k) is not a single event tag (SET)", "event_id"),
        status=404,
    )

    def reply(outbound):
        wrong = conversions_of(outbound)[0]["event_id"] == "o8z6k"
        return foreign if wrong else taken(outbound)

    setting = Setting(replies=[reply] * 9)
    await setting.run.start()

    await setting.record("a", event="o8z6k")
    await setting.record("b", event="o8z6m")
    await setting.clock.advance(2 * SECOND)

    assert await setting.state("a") == "held"
    assert await setting.state("b", event="o8z6m") == "delivered"
    await setting.run.stop(within=1_000)


async def test_slow_pixel_does_not_delay_another():
    setting = Setting(destinations=[a_destination("o8z6j"), a_destination("p2")])

    async def post(outbound):
        setting.transport.sent.append(outbound)
        if "/o8z6j" in outbound.url:
            await setting.clock.sleep(HOUR)
        return taken(outbound)

    setting.transport.post = post
    await setting.run.start()

    await setting.record("slow", pixel="o8z6j")
    await setting.record("fast", pixel="p2")
    await setting.clock.advance(SECOND)

    assert await setting.state("slow") == "sending"
    assert await setting.state("fast", pixel="p2") == "delivered"
    await setting.clock.advance(HOUR)
    await setting.run.stop(within=1_000)


async def test_stop_waits_for_requests_in_flight():
    setting = Setting()
    landed = []

    async def post(outbound):
        await setting.clock.sleep(SECOND)
        landed.append(True)
        return taken(outbound)

    setting.transport.post = post
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(100)
    stopping = asyncio.create_task(setting.run.stop(within=5_000))
    await setting.clock.advance(2 * SECOND)

    assert await stopping
    assert landed == [True]
    assert await setting.state("a") == "delivered"


class CountingClock(MovingClock):
    sleeps = 0

    async def sleep(self, ms):
        self.sleeps += 1
        await super().sleep(ms)


async def test_new_conversions_rarely_wake_a_paused_worker():
    error = ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", "")
    clock = CountingClock()
    setting = Setting(replies=[refused(error, status=401)], clock=clock)
    await setting.run.start()
    await setting.record("a")
    await clock.advance(SECOND)
    before = clock.sleeps

    for number in range(50):
        await setting.record(f"later-{number}")
        await settled()

    assert clock.sleeps <= before + 2
    assert setting.sent() == [["a"]]
    await clock.advance(2 * MINUTE)
    assert sum(len(ids) for ids in setting.sent()) == 52
    await setting.run.stop(within=1_000)


async def test_unavailable_x_is_not_asked_for_every_batch_of_a_full_queue():
    nothing = NoResponse(reason="no connection", left=False)
    setting = Setting(replies=[nothing] * 1_000, worker_config=WorkerConfig(batch=1))
    await setting.record(*[f"c{i}" for i in range(200)])

    await setting.run.start()
    await setting.clock.advance(MINUTE)

    assert 2 <= len(setting.transport.sent) <= 60
    await setting.run.stop(within=1_000)


async def test_suspects_are_sent_alone_at_once():
    setting = Setting()
    await setting.record(*(f"order-{number}" for number in range(30)))
    for _ in range(SUSPECT):
        batch = await setting.store.claim(
            Claim(
                pixel="o8z6j",
                now=setting.steady.now(),
                lease_until=setting.steady.now() + MINUTE,
                limit=500,
                ambiguous_after=0,
            )
        )
        expired = Transition(
            trigger=Trigger.EXPIRED, deliveries=tuple(delivery.id for delivery in batch.deliveries)
        )
        await setting.store.settle(
            Settlement(
                lease=batch.lease,
                attempt=None,
                transitions=(expired,),
                lease_until=setting.steady.now(),
            )
        )

    await setting.run.start()
    await setting.clock.advance(SETTLED_IN + SECOND)

    assert [len(ids) for ids in setting.sent()] == [1] * 30
    await setting.run.stop(within=1_000)


async def test_accepted_batch_frees_its_slot_before_it_is_settled():
    setting = Setting(worker_config=WorkerConfig(batch=2, in_flight=1))
    settle, can_settle = setting.store.settle, asyncio.Event()

    async def waiting(settlement):
        await can_settle.wait()
        return await settle(settlement)

    setting.store.settle = waiting
    await setting.record("a", "b", "c", "d", "e", "f")
    await setting.run.start()
    await setting.clock.advance(SECOND)
    before = setting.sent()

    can_settle.set()
    await setting.clock.advance(SECOND)

    # A third leased batch would exceed the number of slots plus unfinished settlements.
    assert before == [["a", "b"], ["c", "d"]]
    assert setting.sent() == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert [await setting.state(id_) for id_ in "abcdef"] == ["delivered"] * 6
    await setting.run.stop(within=1_000)
