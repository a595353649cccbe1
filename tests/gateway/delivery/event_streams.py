"""Streams of conversions of two events of a pixel, and an X that answers badly to one of them."""

from collections import Counter

from answers_of_x import ANSWERS, BAD, GOOD, page

from fakes import conversions_of, refused, taken
from twite.domain.times import SECOND
from twite.gateway.ports.transport import NoResponse, Response

TIMEOUT = 15 * SECOND
LONGEST = 5 * SECOND  # the promised p99
GOOD_A_SECOND = 10
LIMIT_IN_WORDS = b'{"errors":[{"code":"TOO_MANY_REQUESTS","message":"","parameter":""}]}'
# X's response, and what else it may be.
EVERY = ANSWERS | {
    "400 about the event": refused(
        ("INVALID_PARAMETER", f"event_id ({BAD}) is not a single event tag (SET)", "event_id")
    ),
    "404 about the event": refused(
        ("NOT_FOUND", f"event_id ({BAD}) does not belong to provided account", "event_id"),
        status=404,
    ),
    "404 in HTML": page(404),
    "405": refused(("METHOD_NOT_ALLOWED", "no", ""), status=405),
    "408": refused(("CANCELLED_REQUEST", "no", ""), status=408),
    "413": page(413),
    "423": refused(("LOCK_ACQUISITION_TIMEOUT", "no", ""), status=423),
    "429": Response(status=429, headers={}, body=LIMIT_IN_WORDS),
    "429 with Retry-After": Response(
        status=429, headers={"retry-after": "600"}, body=LIMIT_IN_WORDS
    ),
    "502 in HTML": page(502),
    "503 with Retry-After": Response(status=503, headers={"retry-after": "120"}, body=b""),
    "200 in HTML": page(200),
    "200 for another number": Response(
        status=200, headers={}, body=b'{"data":{"conversions_processed":1000,"debug_id":"d"}}'
    ),
    "200, truncated": Response(status=200, headers={}, body=b'{"data":{', whole=False),
    "reset": NoResponse(reason="connection reset", left=True),
    "no connection": NoResponse(reason="no connection", left=False),
    "slow 500": refused(("INTERNAL_ERROR", "no", ""), status=500),
}
SLOW_ANSWERS = {"hang", "slow 500"}


class X:
    """An X that answers badly to some events. It counts requests, and accepted conversions."""

    def __init__(self, setting, answer, *, bad=(BAD,), took=100):
        self.setting = setting
        self.answer = answer
        self.bad = bad
        self.took = took
        self.slow = answer in SLOW_ANSWERS
        self.asked = []
        self.accepted = Counter()
        self.at = {}
        self.in_flight = self.most_in_flight = 0
        setting.transport.post = self.post

    def accept(self, outbound):
        return taken(outbound)

    def refuse(self):
        return EVERY[self.answer]

    def is_bad(self, ids):  # noqa: ARG002  all conversions of a bad event are
        return True

    async def post(self, outbound):
        sent, clock = conversions_of(outbound), self.setting.clock
        event = str(sent[0]["event_id"])
        ids = [str(conversion["conversion_id"]) for conversion in sent]
        is_bad = event in self.bad and self.is_bad(ids)
        self.asked.append((event, clock.elapsed(), ids))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await clock.sleep(TIMEOUT if is_bad and self.slow else self.took)
        self.in_flight -= 1
        if is_bad:
            return self.refuse()
        self.accepted.update(ids)
        self.at.update(dict.fromkeys(ids, clock.elapsed()))
        return self.accept(outbound)

    def asked_for(self, event, *, since=0):
        return [at for name, at, _ in self.asked if name == event and at >= since]


async def stream(setting, *, rate, seconds, bad=(BAD,), good=GOOD):
    """Record conversions of the events all the time; return when each good one was recorded."""
    born = {}
    for tick in range(seconds * 20):
        for event in bad:
            if tick * rate % 20 < rate:
                await setting.record(f"bad{event}-{setting.clock.elapsed()}", event=event)
        if tick % (20 // GOOD_A_SECOND) == 0:
            await setting.record(id_ := f"good{setting.clock.elapsed()}", event=good)
            born[id_] = setting.clock.elapsed()
        await setting.clock.advance(SECOND // 20)
    return born


def p99(x, born):
    delays = sorted(x.at.get(id_, 10**9) - at for id_, at in born.items())
    return delays[int(len(delays) * 0.99)]
