"""Accept a request: read it, hash identifiers, apply consent, and commit it before responding."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from twite.consent.verdict import judging
from twite.domain.consent import Judge, person_keys
from twite.domain.conversion import Conversion, Identifiers
from twite.domain.destination import X_SOURCE, Destination, Source
from twite.domain.submission import (
    AcceptedConversion,
    Endpoint,
    Idempotency,
    Recorded,
    Submission,
)
from twite.domain.test_mode import is_test
from twite.formats.beacon.shape import PixelCall
from twite.formats.native import read as native
from twite.formats.native.conversion import ReadContext
from twite.formats.native.read import ParsedNative
from twite.formats.parsed_request import ParsedRequest
from twite.formats.x_api import read as x_api
from twite.gateway.ingest.dedup_rows import DedupRowBuilder
from twite.gateway.ingest.entries import is_typical, tag_events, with_denials
from twite.gateway.ingest.joined_events import join_events, read_others
from twite.gateway.ingest.receipts import (
    AcceptReceipt,
    Answers,
    PendingRequest,
    PendingRequestT,
    UncommittedRequest,
    XAcceptReceipt,
    XAcceptRefusal,
)
from twite.gateway.ingest.recorder import SubmissionRecorder
from twite.gateway.ingest.request_traces import RequestTraces
from twite.gateway.ingest.submissions import (
    NOTHING_FIRED,
    SubmissionBuilder,
    TypicalContext,
)
from twite.gateway.ingest.tag_only import TagOnlyEvents, tag_only_events
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ingest.value_rules import CurrentValueRules
from twite.gateway.ports.events import Observer, SilentObserver
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.privacy import Privacy
from twite.gateway.ports.request_watch import current_watch
from twite.gateway.ports.store import Intake
from twite.gateway.ports.tags import DispatchesTags, EventOrigin
from twite.gateway.ports.tracing import trace_parent

NO_ORIGIN: Final = EventOrigin()
# A parsed request, its idempotency, and its context if it is a single usual conversion.
_Reading = tuple[ParsedNative, Idempotency | None, TypicalContext | None]


@dataclass(kw_only=True, eq=False, repr=False)
class Accept:
    """Accepts requests.

    `wake` is called for each pixel with new deliveries. `wall_clock` gives conversions without a
    time the current time; `clock` measures intervals. Without `tag_dispatcher`, no tags fire.
    """

    intake: Intake
    clock: Clock
    randomness: Randomness
    destinations: Mapping[str, Destination]
    salt: bytes
    wake: Callable[[str], None]
    privacy: Privacy | None = None
    dedup_rows: DedupRowBuilder | None = None
    guards: ValueGuards = field(default_factory=ValueGuards)
    value_rules: CurrentValueRules = field(default_factory=CurrentValueRules)
    observer: Observer = field(default_factory=SilentObserver)
    wall_clock: Clock | None = None
    tag_dispatcher: DispatchesTags | None = None
    traces: RequestTraces | None = None
    # After a reload, another object accepts new requests, and shares the recorder with this one.
    recorder: SubmissionRecorder | None = None
    is_replaced: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._wall = self.wall_clock or self.clock
        self._submissions = SubmissionBuilder(
            clock=self.clock,
            randomness=self.randomness,
            salt=self.salt,
            guards=self.guards,
            dedup_rows=self.dedup_rows
            or DedupRowBuilder(destinations=self.destinations, salt=self.salt),
        )
        self._recorder = self.recorder = self.recorder or SubmissionRecorder(
            intake=self.intake, clock=self.clock, wake=self.wake, observer=self.observer
        )

    async def passed(self) -> None:
        """Wait until all current requests are committed or refused."""
        await self._recorder.passed()

    @property
    def problem(self) -> str | None:
        """Why a commit failed recently, or None."""
        return self._recorder.problem

    async def native(
        self, *, source: Source, body: bytes, idempotency_key: str | None = None
    ) -> AcceptReceipt:
        """Accept a request in the native format.

        Raises MalformedRequest, NameTaken, QueueFull, LedgerUnavailable; nothing is stored then.
        """
        source = source.at(self.clock.now())
        reading, name = self._read(source, body, idempotency_key)
        request = self._recorder.begin()
        try:
            return await self._keep(
                reading, source=source, endpoint=Endpoint.NATIVE, idempotency=name
            )
        finally:
            self._recorder.end(request)

    def takes_directly(self, source: Source) -> bool:
        """Return whether `native_soon` may accept a source's requests.

        That is so until a reload replaces this object, without tags, joins and test modes.
        """
        if self.is_replaced or source.joined_pixels or source.test_until:
            return False
        return self.tag_dispatcher is None or not self.tag_dispatcher.listens_to(source.name)

    def native_soon(
        self, requests: Sequence[PendingRequestT], done: Answers[PendingRequestT]
    ) -> None:
        """Accept requests as `native` does, but without asyncio tasks, in one commit if possible.

        `done` is called in the event loop's thread with each request and its receipt or error. It
        may be called several times, and before this method returns.
        """
        # Each of the two steps is done for all requests before the next step. Alternating between
        # them takes a quarter longer: the CPU caches hold the code and data of only one step.
        contexts: dict[str, TypicalContext] = {}
        readings: list[tuple[PendingRequestT, _Reading]] = []
        for request in requests:
            try:
                readings.append((request, self._read_soon(request, contexts)))
            except Exception as fault:  # noqa: BLE001 - the caller handles it
                done([(request, fault)])
        group: list[tuple[PendingRequestT, UncommittedRequest]] = []
        for request, (reading, name, context) in readings:
            try:
                if context is not None:
                    uncommitted = self._submissions.of_typical(reading, context, idempotency=name)
                else:
                    uncommitted = self._submissions.of_native(
                        reading, source=request.source, endpoint=Endpoint.NATIVE, idempotency=name
                    )
            except Exception as fault:  # noqa: BLE001 - as above
                done([(request, fault)])
            else:
                group.append((request, uncommitted))
        if group:
            began = 0 if self.traces is None else self.traces.now()
            self._recorder.record_soon(
                [uncommitted.submission for _, uncommitted in group],
                partial(self._recorded, group, done, began),
            )

    def _read_soon(self, request: PendingRequest, contexts: dict[str, TypicalContext]) -> _Reading:
        """Read a request. `contexts` caches the group's contexts by source."""
        source, key = request.source, request.idempotency_key
        context = contexts.get(source.name)
        if context is None:
            now = self._wall.now()
            context = contexts[source.name] = TypicalContext(
                reading=ReadContext(
                    source=source,
                    destinations=self.destinations,
                    now=now,
                    salt=self.salt,
                    idempotency_key=None,
                    judge=self._judge(source, now),
                    careful=False,
                    lengthy=False,
                ),
                look=self.guards.look(source.name),
                received_at=self.clock.now(),
            )
        reading = native.read_typical(request.body, context.reading)
        if reading is None:
            return *self._read(source, request.body, key), None
        named = native.named(request.body, source=source.name, key=key, salt=self.salt)
        return self.value_rules.applied(reading, source.name), named, context

    def _recorded(
        self,
        group: Sequence[tuple[PendingRequestT, UncommittedRequest]],
        done: Answers[PendingRequestT],
        began: int,
        results: Sequence[Recorded | Exception],
    ) -> None:
        answers: list[tuple[PendingRequestT, AcceptReceipt | str | Exception]] = []
        accepted: dict[str, list[Conversion | None]] = {}
        for (request, uncommitted), result in zip(group, results, strict=True):
            submission = uncommitted.submission
            if isinstance(result, Exception):
                answers.append((request, result))
            elif is_typical(submission, result) and not uncommitted.warnings:
                (only,) = uncommitted.parsed.results
                accepted.setdefault(submission.source, []).append(only.conversion)
                answers.append((request, submission.receipt))
            else:
                try:
                    answers.append((request, self._submissions.receipt(uncommitted, result)))
                except Exception as fault:  # noqa: BLE001 - the caller handles it
                    answers.append((request, fault))
        done(answers)
        for source, conversions in accepted.items():
            self.guards.learn(source, conversions)
        if self.traces is not None:
            self.traces.begin_all(group, results, began=began)

    def _read(
        self, source: Source, body: bytes, idempotency_key: str | None
    ) -> tuple[ParsedNative, Idempotency | None]:
        now = self._wall.now()
        reading = native.read(
            body,
            source=source,
            destinations=self.destinations,
            now=now,
            salt=self.salt,
            idempotency_key=idempotency_key,
            judge=self._judge(source, now),
        )
        reading = self.value_rules.applied(reading, source.name)
        return reading, native.named(body, source=source.name, key=idempotency_key, salt=self.salt)

    async def parsed(
        self,
        parsed: ParsedRequest,
        *,
        source: Source,
        endpoint: Endpoint,
        pixel_calls: Sequence[PixelCall] = (),
        origin: EventOrigin = NO_ORIGIN,
    ) -> AcceptReceipt:
        """Accept a request that was parsed from another format.

        `pixel_calls` says what X's pixel in the page did; `origin` is passed to tags. Ignored items
        are counted in the same commit. Raises QueueFull, LedgerUnavailable: nothing is stored.
        """
        now, source = self._wall.now(), source.at(self.clock.now())
        read = partial(
            native.read_parsed,
            source=source,
            destinations=self.destinations,
            now=now,
            salt=self.salt,
            judge=self._judge(source, now, origin.persons),
        )
        if parsed.unwanted:
            parsed = with_denials(parsed, read)
        reading = self.value_rules.applied(read(parsed), source.name)
        ongoing = self._recorder.begin()
        try:
            return await self._keep(
                reading,
                source=source,
                endpoint=endpoint,
                parsed=parsed,
                pixel_calls=pixel_calls,
                origin=origin,
                other_native=read_others(parsed, read, endpoint) if source.joined_pixels else None,
            )
        finally:
            self._recorder.end(ongoing)

    async def _keep(
        self,
        native: ParsedNative,
        *,
        source: Source,
        endpoint: Endpoint,
        parsed: ParsedRequest | None = None,
        pixel_calls: Sequence[PixelCall] = (),
        idempotency: Idempotency | None = None,
        origin: EventOrigin = NO_ORIGIN,
        other_native: ParsedNative | None = None,
    ) -> AcceptReceipt:
        origin = msgspec.structs.replace(origin, client=origin.client or endpoint.value)
        if (watch := current_watch()) is not None:
            watch.request(origin.request, client=origin.client)
        entries, refusals, remarks = self._submissions.split(native, source)
        entries, known = join_events(
            entries, native, other_native, source, self.salt, now=self.clock.now()
        )
        firing, tag_only = NOTHING_FIRED, TagOnlyEvents()
        dispatcher = None if is_test(source.name) else self.tag_dispatcher
        if dispatcher is not None and dispatcher.listens_to(source.name):
            request_id = self.randomness.nonce() if idempotency is None else idempotency.key.hex()
            dispatch = partial(
                dispatcher.dispatch,
                source=source,
                origin=msgspec.structs.replace(origin, request_id=request_id),
                now=self._wall.now(),
            )
            firing = await dispatch(
                tag_events(native, parsed),
                first=len(native.results),
                held={entry.index: entry for entry in entries if entry.held is not None},
            )
            if parsed is None:
                after = len(native.results) + len(firing.fired)
                tag_only = await tag_only_events(native, dispatch, first=after)
                refusals = tuple(each for each in refusals if each.index not in tag_only.entries)
                remarks = (*remarks, *tag_only.warnings(native))
                firing = msgspec.structs.replace(
                    firing,
                    fired=(*firing.fired, *tag_only.fired),
                    unfired=(*firing.unfired, *tag_only.unfired),
                )
        uncommitted = self._submissions.of_native(
            native,
            source=source,
            endpoint=endpoint,
            split=(entries, refusals, remarks),
            ignored=() if parsed is None else parsed.ignored,
            pixel_calls=pixel_calls,
            idempotency=idempotency,
            firing=firing,
            known=known,
        )
        done = await self._record(uncommitted.submission, firing.fired)
        return tag_only.counted_in(self._submissions.receipt(uncommitted, done), done)

    async def from_x(
        self,
        *,
        destination: Destination,
        body: bytes,
        source: str = X_SOURCE,
        endpoint: Endpoint = Endpoint.X_API,
    ) -> XAcceptReceipt:
        """Accept a request in X's format, for a pixel that the client may use.

        Raises XAcceptRefusal if X would refuse the request, QueueFull, LedgerUnavailable.
        """
        reading = x_api.read(body, destination=destination, salt=self.salt)
        if isinstance(reading, x_api.XApiRefusal):
            raise XAcceptRefusal(status=reading.status, complaints=reading.complaints)
        reading = self.value_rules.applied_x(reading, source)
        revoked = [self._revoked(each.identifiers, each.pixel) for each in reading.conversions]
        submission = self._submissions.of_x(
            reading, revoked=revoked, source=source, endpoint=endpoint, now=self.clock.now()
        )
        duplicates = (await self._record(submission)).duplicates
        pairs = zip(reading.conversions, submission.entries, strict=True)
        sent = (
            conversion
            for conversion, entry in pairs
            if entry.suppressed is None and entry.index not in duplicates
        )
        self.guards.learn(source, sent)
        return XAcceptReceipt(receipt=submission.receipt, processed=len(submission.entries))

    def _judge(self, source: Source, now: int, persons: Iterable[Identifiers] = ()) -> Judge:
        """Return a judge of consent; if one of `persons` opted out, this covers all conversions."""
        if self.privacy is None or not self.privacy.has_opt_outs():
            return judging(policy=source.consent, now=now, revoked=None)

        def revoked(identifiers: Identifiers, pixel: str) -> bool:
            return any(self._revoked(each, pixel) for each in (identifiers, *persons))

        return judging(policy=source.consent, now=now, revoked=revoked)

    def _revoked(self, identifiers: Identifiers, pixel: str) -> bool:
        if self.privacy is None or not self.privacy.has_opt_outs():
            return False
        return self.privacy.lists(person_keys(identifiers, pixel=pixel, salt=self.salt))

    async def _record(
        self, submission: Submission, fired: Sequence[AcceptedConversion] = ()
    ) -> Recorded:
        """Commit a submission, unless a watch of its request sends nothing."""
        if (watch := current_watch()) is not None:
            watch.record_entries(submission.entries)
            if watch.sends_nothing:
                return Recorded()
        began = 0 if self.traces is None else self.traces.now()
        recorded = await self._recorder.record(submission, fired)
        if self.traces is not None:
            self.traces.begin(submission, recorded, began=began, parent=trace_parent.get())
        return recorded
