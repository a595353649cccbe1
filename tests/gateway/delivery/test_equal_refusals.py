"""Conversions that X refuses alone, one after another: which part is at fault."""

from fakes import conversions_of, refused, taken
from twite.domain.blame.judge import REFUSED_ALIKE
from twite.domain.blame.rejection_stats import RUN
from twite.domain.delivery import SENDER_DIED_OF_IT
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.events import Paused, ProblemSeen
from twite.gateway.ports.queries import ByConversionId
from worker_bench import Setting

NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")
BAD_HASH = ("INVALID_PARAMETER", "hashed_email (abc) is not a valid SHA-256 hash", "hashed_email")


def x_that_refuses(setting, is_bad, words=lambda _: NO_IDENTIFIER):
    """Make X refuse each request with a bad conversion."""

    async def post(outbound):
        setting.transport.sent.append(outbound)
        ids = [str(conversion["conversion_id"]) for conversion in conversions_of(outbound)]
        bad = [id_ for id_ in ids if is_bad(id_)]
        return refused(words(bad[0])) if bad else taken(outbound)

    setting.transport.post = post


async def one_by_one(setting, *ids, event="o8z6k"):
    for id_ in ids:
        await setting.record(id_, event=event)
        await setting.clock.advance(2 * MINUTE)


async def states(setting, *ids):
    return [await setting.state(id_) for id_ in ids]


async def test_dead_letters_of_a_row_of_equal_refusals_are_held_later():
    setting = Setting()
    x_that_refuses(setting, lambda _: True)
    await setting.run.start()
    ids = [f"c{n}" for n in range(RUN + 2)]

    await one_by_one(setting, *ids[: RUN - 1])
    before = await states(setting, *ids[: RUN - 1])
    await one_by_one(setting, *ids[RUN - 1 :])

    assert set(before) == {"dead"}
    assert set(await states(setting, *ids)) == {"held"}
    assert [
        pause.reason.startswith(REFUSED_ALIKE) for pause in await setting.store.load(Pause)
    ] == [True]
    await setting.run.stop(within=1_000)


async def test_deliveries_held_for_equal_refusals_are_sent_when_x_accepts_one():
    setting = Setting()
    wrong = [True]
    x_that_refuses(setting, lambda _: wrong[0])
    await setting.run.start()
    ids = [f"c{n}" for n in range(RUN)]
    await one_by_one(setting, *ids)

    wrong[0] = False
    await one_by_one(setting, "good")
    await setting.clock.advance(MINUTE)

    assert set(await states(setting, "good", *ids)) == {"delivered"}
    assert await setting.store.load(Pause) == []
    await setting.run.stop(within=1_000)


async def test_deliveries_held_for_equal_refusals_are_sent_after_a_restart():
    setting = Setting()
    wrong = [True]
    x_that_refuses(setting, lambda _: wrong[0])
    await setting.run.start()
    ids = [f"c{n}" for n in range(RUN)]
    await one_by_one(setting, *ids)
    await setting.run.stop(within=1_000)
    setting.run = setting.new_run()
    await setting.run.start()

    wrong[0] = False
    await one_by_one(setting, "good")
    await setting.clock.advance(MINUTE)

    assert set(await states(setting, "good", *ids)) == {"delivered"}
    await setting.run.stop(within=1_000)


async def test_failed_recall_of_held_deliveries_is_repeated():
    setting = Setting()
    wrong, refusing = [True], [LedgerUnavailable(reason="disk full", retry_after=1)]
    move = setting.store.move

    async def fails_once(*asked, **more):
        if refusing:
            raise refusing.pop()
        return await move(*asked, **more)

    x_that_refuses(setting, lambda _: wrong[0])
    await setting.run.start()
    ids = [f"c{n}" for n in range(RUN)]
    await one_by_one(setting, *ids)
    wrong[0], setting.store.move = False, fails_once

    await one_by_one(setting, "good", "better")
    await setting.clock.advance(MINUTE)

    assert set(await states(setting, "good", "better", *ids)) == {"delivered"}
    await setting.run.stop(within=1_000)


async def test_invalid_conversions_in_a_row_are_dead_the_second_time():
    setting = Setting()
    x_that_refuses(setting, lambda id_: id_.startswith("bad"))
    await setting.run.start()
    bad = [f"bad{n}" for n in range(RUN + 1)]

    await one_by_one(setting, *bad, "good")
    await setting.clock.advance(10 * MINUTE)

    assert set(await states(setting, *bad)) == {"dead"}
    assert await setting.state("good") == "delivered"
    await setting.run.stop(within=1_000)


async def test_row_of_refusals_of_one_event_pauses_only_that_event():
    setting = Setting()
    x_that_refuses(setting, lambda id_: id_.startswith("bad"))
    await setting.run.start()

    for n in range(RUN + 1):
        await one_by_one(setting, f"bad{n}")
        await one_by_one(setting, f"good{n}", event="o8z6m")

    assert set(await states(setting, *(f"bad{n}" for n in range(RUN + 1)))) == {"held"}
    good = [await setting.state(f"good{n}", event="o8z6m") for n in range(RUN + 1)]
    assert set(good) == {"delivered"}
    paused = [notice for notice in setting.seen.notices if isinstance(notice, Paused)]
    assert {(notice.pause.pixel, notice.pause.event) for notice in paused} == {("o8z6j", "o8z6k")}
    await setting.run.stop(within=1_000)


async def test_different_refusals_do_not_pause_the_pixel():
    setting = Setting()
    x_that_refuses(
        setting, lambda _: True, lambda id_: BAD_HASH if int(id_[1:]) % 2 else NO_IDENTIFIER
    )
    await setting.run.start()
    ids = [f"c{n}" for n in range(2 * RUN)]

    await one_by_one(setting, *ids)

    assert set(await states(setting, *ids)) == {"dead"}
    await setting.run.stop(within=1_000)


async def test_internal_error_gives_up_its_delivery_and_delivers_the_others():
    setting = Setting(worker_config=WorkerConfig(linger=0))

    async def post(outbound):
        if b'"c3"' in outbound.body:
            raise ZeroDivisionError
        setting.transport.sent.append(outbound)
        return taken(outbound)

    setting.transport.post = post
    await setting.record(*[f"c{n}" for n in range(8)])
    await setting.run.start()
    for _ in range(60):
        await setting.clock.advance(MINUTE)

    (history,) = await setting.store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="c3")
    )
    others = [number for number in range(8) if number != 3]
    assert (history.state, history.reason) == ("dead", SENDER_DIED_OF_IT)
    assert {past.answer for past in history.attempts} == {
        "internal error in Twite: ZeroDivisionError"
    }
    assert set(await states(setting, *(f"c{n}" for n in others))) == {"delivered"}
    faults = [notice for notice in setting.seen.notices if isinstance(notice, ProblemSeen)]
    assert len(faults) == len(history.attempts) == 5
    await setting.run.stop(within=SECOND)
