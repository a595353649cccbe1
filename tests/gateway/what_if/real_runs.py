"""Runs a history in a store, and compares what-if of it with a run under other settings."""

from random import Random
from unittest.mock import patch

import msgspec
from past_histories import beginning, changed, encoded, history_of, settings_of
from wide_histories import (
    TAG,
    EachEvent,
    has_tags,
    most_widened,
    since_of,
    widened,
    with_more_calls,
    with_more_pixels,
)

from fakes import MovingClock, SeededRandomness
from store_contract.actions import sweep
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.domain.errors import NameTaken
from twite.domain.submission import Endpoint
from twite.domain.test_mode import in_test, real_name
from twite.domain.times import MINUTE
from twite.formats.beacon.read import read as read_beacon
from twite.formats.event_data.conversions import parse_events
from twite.formats.page_visit import Visitor
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.receipts import XAcceptRefusal
from twite.gateway.ingest.value_rules import CurrentValueRules
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.past_requests import PastRequestsQuery
from twite.gateway.ports.store import StoreOptions
from twite.gateway.what_if import run
from twite.gateway.what_if.candidate_reader import CandidateReader
from twite.gateway.what_if.recorded import deliveries_of, recorded_verdict
from twite.gateway.what_if.report import ReportBuilder
from twite.gateway.what_if.run import WhatIf, rejections_of
from twite.gateway.what_if.verdict import IntakeOutcome

SALT = b"one salt for both runs"
IN_X_FORMAT = {"x", "stape"}


class RealRun:
    """A gateway's intake with a store, and X, which accepts everything between two requests."""

    def __init__(self, store, randomness):
        self.store, self.randomness = store, randomness
        self.clock = MovingClock()

    async def replay(self, settings, calls, dispatcher=None):
        """Return, for each request, its receipt and outcomes by index."""
        accept = Accept(
            intake=self.store,
            clock=self.clock,
            randomness=self.randomness,
            destinations=settings.destinations,
            salt=SALT,
            wake=lambda _pixel: None,
            privacy=self.store,
            guards=settings.guards(),
            value_rules=CurrentValueRules(settings.value_rules),
            tag_dispatcher=dispatcher,
        )
        (source,) = settings.sources.values()
        done = []
        for call in calls:
            self.clock.jump(call.at - self.clock.now())
            done.append(await self._request(accept, settings, source, call))
            await self._deliver([*settings.destinations, TAG], call.at + source.wait)
        return done

    async def _request(self, accept, settings, source, call):
        if call.kind in IN_X_FORMAT:
            if call.pixel not in settings.destinations:
                return None
            of_stape = {"source": source.at(call.at).name, "endpoint": Endpoint.STAPE}
            try:
                receipt = await accept.from_x(
                    destination=settings.destinations[call.pixel],
                    body=encoded(call),
                    **(of_stape if call.kind == "stape" else {}),
                )
            except XAcceptRefusal:
                return None
            return receipt.receipt, None
        try:
            if call.kind == "tag":
                parsed = parse_events(
                    [call.body],
                    source=source.at(call.at),
                    destinations=settings.destinations,
                    visitor=Visitor(trusted=True, now=call.at),
                )
                receipt = await accept.parsed(parsed, source=source, endpoint=Endpoint.SGTM)
            elif call.kind == "beacon":
                beacon = read_beacon(
                    encoded(call),
                    Visitor(
                        ip="81.2.69.142",
                        user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
                        value_limit=source.browser_value_limit,
                        now=call.at,
                    ),
                )
                receipt = await accept.parsed(
                    beacon.parsed,
                    source=source,
                    endpoint=Endpoint.BEACON,
                    pixel_calls=beacon.pixel_calls,
                )
            else:
                receipt = await accept.native(
                    source=source, body=encoded(call), idempotency_key=call.key
                )
        except NameTaken:
            return None
        return receipt.receipt, receipt

    async def _deliver(self, pixels, at):
        await sweep(self.store, now=at)
        for pixel in [*pixels, *map(in_test, pixels)]:
            while batch := await self.store.claim(
                Claim(pixel=pixel, now=at, lease_until=at + MINUTE, limit=500, ambiguous_after=0)
            ):
                ids = tuple(delivery.id for delivery in batch.deliveries)
                await self.store.settle(
                    Settlement(
                        lease=batch.lease,
                        attempt=Attempt(
                            at=at, pixel=pixel, event=batch.event, outcome="delivered",
                            deliveries=ids, status=200, answer="",
                        ),
                        transitions=(Transition(trigger=Trigger.DELIVERED, deliveries=ids),),
                        lease_until=at + MINUTE,
                    )
                )  # fmt: skip


def what_if_over(
    store,
    new_settings,
    current_settings=None,
    *,
    rejections=(),
    breathe_reading=lambda: None,
    **given,
):
    """Return a what-if of a store, whose requests are read in this process.

    Without `current_settings`, nothing has changed. `breathe_reading` is called between requests by
    their reader; what else is given is for the what-if.
    """
    both = {"new_settings": new_settings, "current_settings": current_settings or new_settings}
    reader = CandidateReader(**both, salt=SALT, rejections=rejections, breathe=breathe_reading)

    async def read(message):
        return reader.read_encoded(message)

    return WhatIf(**both, queries=store, rejections=rejections, read=read, ahead=1, **given)


async def past_of(store, number):
    """Return the stored requests of a history."""
    since, until = beginning(number), beginning(number + 1)
    requests, at = [], None
    while True:
        some = await store.answer(PastRequestsQuery(since=since, number=at, limit=7))
        requests += [each for each in some if since <= each.received_at < until]
        if not some or some[-1].received_at >= until:
            break
        at = some[-1].number + 1
    return requests


def outcomes_of(receipt, *, is_test):
    """Return the outcome of each conversion of a receipt, by a function of its index."""
    sent = IntakeOutcome.TEST if is_test else IntakeOutcome.SENT
    found = {rejection.index: IntakeOutcome.REJECTED for rejection in receipt.rejected}
    for outcome, indexes in (
        (IntakeOutcome.DUPLICATE, receipt.duplicate_indexes),
        (IntakeOutcome.SUPPRESSED, receipt.suppressed_indexes),
        (IntakeOutcome.HELD, receipt.held_indexes),
    ):
        found |= dict.fromkeys(indexes, outcome)
    return lambda index: found.get(index, sent)


class Pair(msgspec.Struct):
    """A comparison of what-if, and what the real run made of the same conversion.

    `real` is its outcome, `body` what X got from it. `is_stored` is whether the recorded run kept
    the request. `pixels` are those of the recorded and of the real run, None if it is not stored.
    """

    call: object
    comparison: object
    real: object
    body: bytes
    is_stored: bool
    pixels: tuple[str | None, str | None] = (None, None)
    has_tags: bool = False
    waits: bool = False


def conversion_of(request, index):
    delivery = None if request is None else deliveries_of(request, index + 1)[index]
    return None if delivery is None else request.conversions.get(delivery)


def stored_outcome(request, index, settings):
    """Return the outcome of a conversion in X's format, whose receipt does not say it."""
    conversion = conversion_of(request, index)
    return recorded_verdict(request, conversion, codes=None, current_settings=settings).outcome


class NotedComparisons(ReportBuilder):
    """Keeps the comparisons that a report sums up."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def add(self, comparison):
        super().add(comparison)
        self.noted.append(comparison)


async def comparisons_of(store, new_settings, current_settings, *, since, until):
    """Return the comparisons of what-if for a range of times, by receipt and index."""
    rejections = await rejections_of(store, new_settings, since)
    what_if = what_if_over(
        store, new_settings, current_settings, rejections=rejections, now=lambda: until
    )
    builder = NotedComparisons()
    with patch.object(run, "ReportBuilder", lambda: builder):
        await what_if.run(since=since, until=until)
    return {(each.receipt, each.index): each for each in builder.noted}


class RunsByWindow:
    """Real runs, each with a store of its own, which is opened with the dedup window."""

    def __init__(self, open_store):
        """`open_store` opens the store of a run: "recorded" or "real"."""
        self._open_store, self._runs = open_store, {}

    async def of(self, name, window):
        if (name, window) not in self._runs:
            store = await self._open_store(name, StoreOptions(dedup_window=window))
            seeded = SeededRandomness(name == "real")
            self._runs[name, window] = RealRun(store, seeded)
        return self._runs[name, window]

    async def close(self):
        for each in self._runs.values():
            await each.store.close()


async def compared(runs, number, *, same=False, is_wide=False, is_widest=False):
    """Return a pair for each conversion of a history."""
    random = Random(number)
    before = settings_of(random, number)
    calls = history_of(random, number)
    after = before if same else changed(random, before, number)
    dispatcher = None
    since, until = beginning(number), beginning(number + 1)
    if is_wide or is_widest:
        before = widened(before, number, is_changed=False)
        after = widened(after, number, is_changed=not same)
        calls = with_more_calls(calls, number)
        dispatcher = EachEvent(number) if has_tags(number) else None
    if is_widest:
        before = most_widened(before, number, is_changed=False)
        after = most_widened(after, number, is_changed=not same)
        calls = with_more_pixels(calls, before, number)
        since = since_of(calls, number, before, after)
    recorded = await runs.of("recorded", before.dedup_window)
    real = await runs.of("real", after.dedup_window)
    first = await recorded.replay(before, calls, dispatcher)
    second = await real.replay(after, calls, dispatcher)
    requests = await past_of(recorded.store, number)
    found = await comparisons_of(recorded.store, after, before, since=since, until=until)
    kept = {request.receipt: request for request in requests}
    stored = {request.receipt: request for request in await past_of(real.store, number)}
    (source,) = after.sources.values()
    runs_of = zip(calls, first, second, strict=True)
    calls_of = {
        recorded[0]: (call, real) for call, recorded, real in runs_of if recorded is not None
    }
    pairs = []
    for (receipt, index), comparison in found.items():
        call, two = calls_of[receipt]
        again = None if two is None else stored.get(two[0])
        if two is None:
            outcome = IntakeOutcome.REJECTED if call.kind in IN_X_FORMAT else None
        elif two[1] is None:
            outcome = stored_outcome(again, index, after)
        elif two[1].ignored:
            outcome = IntakeOutcome.IGNORED
        else:
            is_test = source.at(call.at).name != source.name
            outcome = outcomes_of(two[1], is_test=is_test)(index)
        conversion = conversion_of(again, index)
        body = b"" if conversion is None else conversion.body
        pixels = tuple(
            None if each is None else real_name(each.pixel)
            for each in (conversion_of(kept.get(receipt), index), conversion)
        )
        is_other = body and (
            conversion.conversion_id != comparison.conversion_id or conversion.pixel == TAG
        )
        if dispatcher is not None and is_other:
            # Only tags received an earlier part of the request, so its places are others.
            body, pixels = b"", (None, None)
        is_stored = receipt in kept
        found_pair = Pair(
            call, comparison, outcome, body, is_stored, pixels,
            has_tags=dispatcher is not None, waits=source.wait > 0,
        )  # fmt: skip
        pairs.append(found_pair)
    return pairs


def is_right(pair):
    """Return whether what-if said what the real run did."""
    comparison = pair.comparison
    before, after = comparison.verdict_before, comparison.verdict_after
    if after.outcome is IntakeOutcome.UNKNOWN or pair.real is None:
        return True
    if not pair.is_stored and pair.real in {IntakeOutcome.SUPPRESSED, IntakeOutcome.IGNORED}:
        # Of a rejected conversion, only the faults are stored, not its consent and its amount.
        return before.outcome is after.outcome is IntakeOutcome.REJECTED
    if after.reason == "event_unknown" and pair.has_tags:
        return pair.real is not IntakeOutcome.IGNORED  # only tags receive it
    return pair.real is after.outcome


def has_right_body(pair):
    """Return whether what-if said what X got. Ids that depend on the event are not compared."""
    after, given = pair.comparison.body_after, pair.comparison
    if not after or given.lacks or not given.verdict_after.is_accepted or not pair.body:
        return True
    said, real = (msgspec.json.decode(body) for body in (after, pair.body))
    if not msgspec.json.decode(encoded(pair.call)).get("conversion_id"):
        said["conversion_id"] = real["conversion_id"]
    if pair.waits:  # what is joined later is not part of intake
        said["identifiers"] = real["identifiers"]
    if not said["conversion_time"]:  # only the time of receipt
        del said["conversion_time"], real["conversion_time"]
    return said == real


def has_right_pixels(pair):
    """Return whether what-if said which pixels the two runs sent a conversion to."""
    given = pair.comparison
    both = given.verdict_before.is_accepted and given.verdict_after.is_accepted
    if not both or None in pair.pixels:
        return True
    return (given.pixel_before or given.pixel, given.pixel) == pair.pixels and (
        given.is_same is False or len(set(pair.pixels)) == 1
    )


def is_unchanged(pair):
    before, after = pair.comparison.verdict_before, pair.comparison.verdict_after
    return before.outcome is after.outcome and pair.comparison.is_same
