"""Evidence about a pixel: its pauses, and the deliveries that the next claim may take."""

import pytest
from blamed_pixel import EVENT, OTHER, Pixel, group_of

from twite.domain.blame.evidence import EventPause, PixelEvidence
from twite.domain.blame.rejection_stats import RejectionStats
from twite.domain.delivery import Batch
from twite.domain.pause import Cause, Pause
from twite.domain.times import MINUTE


def a_pause(pixel="p", event="", cause=Cause.EVENT_REFUSED):
    return Pause(pixel=pixel, event=event, since=1, cause=cause, reason="r")


def test_evidence_at_the_start_has_the_stored_pauses_and_probes_at_once():
    pauses = [a_pause(), a_pause(event=EVENT), a_pause("q"), a_pause("q", EVENT)]

    evidence = PixelEvidence.at_start("p", pauses, elapsed=70, is_cautious=True)

    assert evidence.all_pauses() == {"": pauses[0], EVENT: pauses[1]}
    assert (evidence.pixel, evidence.is_cautious) == ("p", True)
    assert (evidence.breaker.wait(70), evidence.closed_events(70)) == (0, frozenset())
    assert evidence.suspects.retry_at == evidence.breaker.backoff_until == 70
    assert PixelEvidence.at_start("r", pauses, elapsed=70).all_pauses() == {}


def test_user_who_resumes_a_pixel_ends_all_pauses_and_the_back_off():
    pixel = Pixel()
    pixel.trip()
    pixel.trip(event=EVENT)
    pixel.become(breaker=pixel.breaker.failed(elapsed=pixel.now, jitter=0.5))

    released = pixel.release(elapsed=pixel.now)

    assert (released.all_pauses(), released.breaker.wait(pixel.now)) == ({}, 0)
    assert not released.breaker.probes


def test_new_credentials_probe_the_pixel_and_its_events_at_once():
    pixel = Pixel()
    pixel.trip()
    pixel.evidence = pixel.pause_event(EVENT, Cause.EVENT_REFUSED, "r", instant=pixel.instant)
    before = pixel.breaker.wait(pixel.now), pixel.closed_events(pixel.now)

    opened = pixel.half_open(elapsed=pixel.now)

    assert before == (MINUTE, {EVENT})
    assert (opened.breaker.wait(pixel.now), opened.closed_events(pixel.now)) == (0, frozenset())
    assert opened.all_pauses() == pixel.all_pauses()


def test_event_pause_keeps_its_beginning():
    pixel = Pixel()
    first = pixel.pause_event(EVENT, Cause.EVENT_REFUSED, "r", instant=pixel.instant)
    pixel.now += 5
    same = first.pause_event(EVENT, Cause.EVENT_REFUSED, "r", instant=pixel.instant)
    other = first.pause_event(EVENT, Cause.EVENT_FAILED, "s", instant=pixel.instant)

    assert same.pauses[EVENT].pause is first.pauses[EVENT].pause
    assert same.pauses[EVENT].probe_at == first.pauses[EVENT].probe_at + 5
    assert other.pauses[EVENT].pause == Pause(
        pixel="p", event=EVENT, since=pixel.now - 5, cause=Cause.EVENT_FAILED, reason="s"
    )


def test_resumed_event_does_not_end_other_pauses():
    pixel = Pixel()
    pixel.trip(event=EVENT)
    pixel.trip(event=OTHER)

    assert set(pixel.resume_event(EVENT).pauses) == {OTHER}
    assert pixel.resume_event("third") is pixel.evidence


def batch(*ids, event=EVENT, lease=1):
    return Batch(lease=lease, pixel="p", event=event, deliveries=group_of(*ids))


def test_claim_of_a_paused_event_is_its_probe():
    pixel = Pixel()
    pixel.trip(event=EVENT)
    other = pixel.claimed(batch(1, event=OTHER), elapsed=pixel.now)
    probed = pixel.claimed(batch(1), elapsed=pixel.now)

    assert other.pauses == pixel.pauses
    assert probed.pauses[EVENT].pause is pixel.pauses[EVENT].pause
    assert probed.pauses[EVENT].probe_at == pixel.now + MINUTE


def test_claim_after_the_reset_of_an_event_ends_its_pause():
    pixel = Pixel()
    limited = EventPause(pause=a_pause(event=EVENT, cause=Cause.EVENT_LIMITED), probe_at=5)
    pixel.evidence = pixel.with_pause(EVENT, limited)

    assert pixel.claimed(batch(1), elapsed=9).pauses == {}


def test_one_batch_of_suspects_is_claimed_until_it_ends():
    pixel = Pixel()
    pixel.suspect(1)
    claimed = pixel.claimed(batch(1, lease=7), elapsed=pixel.now)

    assert claimed.suspects.lease == 7
    assert claimed.ended(batch(1, lease=7)).suspects.lease is None
    assert claimed.ended(batch(1, lease=8)).suspects.lease == 7


def test_paused_events_and_those_with_bad_responses_have_small_batches():
    pixel = Pixel()
    pixel.trip(event=EVENT)
    pixel.become(
        stats={
            EVENT: RejectionStats(size=50),
            OTHER: RejectionStats(size=499),
            "third": RejectionStats(size=500),
        }
    )

    assert pixel.limits() == {EVENT: 1, OTHER: 499}


@pytest.mark.parametrize(
    ("after", "closed", "skipped"),
    [
        (MINUTE - 1, {EVENT}, {1, 2}), (MINUTE, set(), {1, 2}), (2 * MINUTE - 1, set(), {1, 2}),
        (2 * MINUTE, set(), set()),
    ],
)  # fmt: skip
def test_paused_event_is_probed_with_deliveries_that_are_not_isolated(after, closed, skipped):
    pixel = Pixel()
    pixel.evidence = pixel.pause_event(EVENT, Cause.EVENT_REFUSED, "r", instant=pixel.instant)
    isolated = pixel.suspects.found(*group_of(2), event=EVENT, elapsed=pixel.now)
    pixel.become(unreached={1: EVENT, 3: OTHER}, suspects=isolated)
    pixel.accept_another()

    pixel.now += after
    evidence, ids = pixel.skip(elapsed=pixel.now, is_hanging=False)

    assert (pixel.closed_events(pixel.now), ids) == (closed, skipped)
    assert evidence.suspects.skipped_isolated


def test_unsent_delivery_of_a_bisection_is_forgotten_when_sent():
    pixel = Pixel()
    pixel.become(unreached={1: EVENT, 2: EVENT})

    evidence, was_unreached = pixel.reach(group_of(2, 3))

    assert (evidence.unreached, was_unreached) == ({1: EVENT}, True)
    assert pixel.reach(group_of(3)) == (pixel.evidence, False)
    assert Pixel().reach(group_of(3))[1] is False
