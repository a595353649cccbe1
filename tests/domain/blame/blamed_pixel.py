"""A pixel, and what is believed about it after each answer of X."""

import msgspec

from twite.domain.blame.evidence import EventPause, Instant, PixelEvidence
from twite.domain.blame.judge import Answer, blame_pixel, is_open
from twite.domain.blame.learn import learn
from twite.domain.blame.suspects import ROW
from twite.domain.delivery import Delivery
from twite.domain.outcome import Delivered, Errored, Rejected, RejectionScope
from twite.domain.pause import Cause

EVENT, OTHER = "o8z6k", "o8z6m"
DELIVERED = Delivered(debug_id="d")
FAILED = Errored(reason="503", ambiguous=True, status=503)
UNSENT = Errored(reason="no connection", ambiguous=False)
LIMITED = Errored(reason="429", ambiguous=False, status=429, limited=True)
BAD, LARGE, WRONG_EVENT, NOT_YOU, PAGE = (
    Rejected(scope=scope, reason=f"{status} refused", status=status)
    for scope, status in (
        (RejectionScope.CONVERSION, 400), (RejectionScope.SIZE, 413), (RejectionScope.EVENT, 404),
        (RejectionScope.PIXEL, 401), (RejectionScope.UNCLEAR, 403),
    )
)  # fmt: skip


def group_of(*ids):
    return tuple(
        Delivery(id=id_, conversion_id=f"c{id_}", body=b"{}", received_at=0) for id_ in ids
    )


class Pixel:
    """The evidence about a pixel."""

    def __init__(self, *, cautious=False):
        self.now, self.draw, self.actions = 1_000_000, 0.0, None
        self.evidence = PixelEvidence.at_start("p", (), elapsed=self.now, is_cautious=cautious)

    @property
    def instant(self):
        return Instant(now=self.now, elapsed=self.now, jitter=self.draw, pixel_jitter=self.draw)

    def __getattr__(self, name):
        return getattr(self.evidence, name)

    def become(self, **changes):
        self.evidence = self.evidence.but(**changes)

    def hears(self, outcome, *ids, event=EVENT, why=None, **more):
        answer = Answer(event=event, group=group_of(*ids), outcome=outcome, why=why, **more)
        self.evidence, self.actions = learn(self.evidence, answer, self.instant)
        return self.actions

    def opens(self, outcome, *ids, why=None):
        answer = Answer(event=EVENT, group=group_of(*ids), outcome=outcome, why=why)
        return is_open(self.evidence, answer)

    def blames(self, found):
        self.evidence = blame_pixel(self.evidence, EVENT, found, self.instant)

    def suspect(self, *ids):
        """Let these deliveries fail; then make X accept another one."""
        self.become(suspects=self.suspects.note(group_of(*ids), event=EVENT))
        self.accept_another()

    def accept_another(self):
        self.become(suspects=self.suspects.took(group_of(99), event=OTHER))

    def refuse_alone(self, delivery, refusal):
        """Make X refuse a delivery alone twice, and accept another before each refusal."""
        for _ in range(2):
            self.accept_another()
            found = self.suspects.found(*group_of(delivery), refusal, event=EVENT, elapsed=self.now)
            self.become(suspects=found)

    def blame_the_event(self):
        """Make the event fail again and again, while X accepts another event."""
        for number in range(ROW):
            self.accept_another()
            noted = self.suspects.note(group_of(1_000 + number), event=EVENT)
            self.become(suspects=noted)

    def trip(self, reason="why", event=""):
        cause = Cause.EVENT_REFUSED if event else Cause.PIXEL_REFUSED
        pause = self.pause_for(cause, reason, event=event, now=self.now)
        if event:
            self.evidence = self.evidence.with_pause(
                event, EventPause(pause=pause, probe_at=self.now)
            )
        else:
            self.become(breaker=self.breaker.tripped(pause, self.now))

    def fail_but_one(self):
        self.evidence, ids = self.evidence.failed_but_one(draw=self.draw)
        return ids

    def known(self, *ids):
        return self.suspects.explain(group_of(*ids))


def alike(outcome, **changes):
    return msgspec.structs.replace(outcome, **changes)
