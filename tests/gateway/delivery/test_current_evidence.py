"""The current evidence about a pixel, and which of its pauses are written."""

import pytest

from builders import NOW
from fakes import MovingClock, SeededRandomness
from twite.domain.blame.evidence import EventPause
from twite.domain.delivery import Batch, Delivery
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Cause, Pause, pause_by_user
from twite.gateway.delivery.current_evidence import CurrentEvidence
from twite.gateway.delivery.requests_in_flight import RequestsInFlight
from twite.gateway.ports.events import Paused, Resumed

PIXEL, OTHER, EVENT = "o8z6j", "oaaa1", "o8z6k"
REFUSED = Pause(pixel=PIXEL, event=EVENT, since=NOW, cause=Cause.EVENT_REFUSED, reason="no")


class WrittenState:
    """A state store that records what is written. `during` is called while it puts something."""

    def __init__(self):
        self.written = []
        self.fails = False
        self.during = lambda: None

    async def put(self, states):
        self.during()
        if self.fails:
            raise LedgerUnavailable(reason="full", retry_after=5)
        self.written += [("put", state) for state in states]

    async def delete(self, _kind, pause):
        self.written.append(("delete", pause))


class Stage:
    def __init__(self, *pauses):
        self.state, self.notices = WrittenState(), []
        self.clock = MovingClock()
        self.current = CurrentEvidence(
            pixel=PIXEL,
            state=self.state,
            clock=self.clock,
            randomness=SeededRandomness(1),
            observer=self,
            pauses=pauses,
        )

    def see(self, notice):
        self.notices.append(notice)

    def pause(self, reason="no", event=EVENT):
        current = self.current
        current.update(
            current.evidence.pause_event(
                event, Cause.EVENT_REFUSED, reason, instant=current.instant()
            )
        )
        return current.evidence.pauses[event].pause


async def test_only_pauses_that_are_not_stored_yet_are_written():
    stage = Stage(REFUSED)
    pause = stage.pause(event="o8z6m")

    await stage.current.write_pauses()
    await stage.current.write_pauses()

    assert stage.state.written == [("put", pause)]
    assert stage.notices == [Paused(pause=pause)]


async def test_pause_is_not_noted_while_another_reason_is_written():
    stage = Stage(REFUSED)
    stage.pause("another reason")
    noted = []
    stage.state.during = lambda: noted.append(dict(stage.current.noted))
    stage.state.fails = True

    with pytest.raises(LedgerUnavailable):
        await stage.current.write_pauses()
    before = EventPause(pause=REFUSED, probe_at=0)
    stage.current.update(stage.current.evidence.with_pause(EVENT, before))

    # The store may have either.
    assert (noted, stage.current.noted) == ([{}], {})


async def test_release_deletes_each_pause_once():
    by_user = pause_by_user(PIXEL, since=NOW, who="ada")
    stage = Stage(by_user, REFUSED)

    await stage.current.release()

    assert stage.state.written == [("delete", (PIXEL, "")), ("delete", REFUSED)]
    assert stage.notices == [Resumed(pixel=PIXEL, event=""), Resumed(pixel=PIXEL, event=EVENT)]


async def test_limit_of_an_event_ends_at_its_time_without_a_claim():
    limited = Pause(
        pixel=PIXEL, event="o8z6m", since=NOW, cause=Cause.EVENT_LIMITED, reason="until 10:00"
    )
    stage = Stage(REFUSED)
    stage.current.update(
        stage.current.evidence.with_pause(
            "o8z6m", EventPause(pause=limited, probe_at=stage.clock.elapsed() + 5)
        )
    )

    await stage.current.write_pauses()
    await stage.current.end_limits()
    before = [*stage.state.written]
    await stage.clock.advance(5)
    await stage.current.end_limits()

    assert before == [("put", limited)]
    assert stage.state.written[1:] == [("delete", limited)]
    assert stage.notices == [Paused(pause=limited), Resumed(pixel=PIXEL, event="o8z6m")]
    assert stage.current.evidence.pauses.keys() == {EVENT}


async def test_pause_that_ended_elsewhere_is_not_deleted_again():
    stage = Stage(REFUSED)

    assert stage.current.follow([], noted=stage.current.noted)
    await stage.current.write_pauses()

    assert (stage.current.evidence.pauses, stage.state.written) == ({}, [])


def test_pause_of_another_pixel_does_not_pause_this_one():
    stage = Stage()
    elsewhere = pause_by_user(OTHER, since=NOW, who="ada")

    assert not stage.current.follow([elsewhere], noted={})
    assert not stage.current.is_by_user


def test_failed_deliveries_are_forgotten_once_each_was_sent_alone():
    stage = Stage()
    evidence = stage.current.evidence
    for id_ in (1, 2):
        evidence = evidence.remember_failed(EVENT, [delivery(id_)])
    stage.current.update(evidence)

    assert stage.current.failed_but_one() == frozenset()
    assert stage.current.evidence.failed == {}


def test_isolated_deliveries_are_skipped_every_other_time():
    stage = Stage()
    suspects = stage.current.evidence.suspects.note([delivery(1), delivery(2)], event=EVENT)
    suspects = suspects.found(delivery(1), event=EVENT, elapsed=0).took((), event="o8z6m")
    stage.current.update(stage.current.evidence.but(suspects=suspects))
    requests = RequestsInFlight(clock=stage.clock, slots=1)

    skipped = [stage.current.skipped(requests) for _ in range(4)]

    assert skipped == [frozenset({1}), frozenset()] * 2


@pytest.mark.parametrize(("hanging", "skipped"), [(7, {1}), (8, {1, 2})])
def test_other_suspects_are_claimed_while_a_batch_of_suspects_hangs(hanging, skipped):
    stage = Stage()
    suspects = stage.current.evidence.suspects.note([delivery(1), delivery(2)], event=EVENT)
    suspects = suspects.found(delivery(1), event=EVENT, elapsed=0).took((), event="o8z6m")
    batch = Batch(lease=7, pixel=PIXEL, event=EVENT, deliveries=(delivery(1),))
    stage.current.update(stage.current.evidence.but(suspects=suspects.began(batch)))

    assert stage.current.skipped(HangingRequests(hanging)) == skipped


class HangingRequests:
    """The requests in flight, of which one batch hangs."""

    def __init__(self, lease):
        self.lease = lease

    def is_hanging(self, lease):
        return lease == self.lease


def delivery(id_):
    return Delivery(id=id_, conversion_id=f"c{id_}", body=b"{}", received_at=NOW)
