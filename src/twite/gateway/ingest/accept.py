"""Accept a request: read it, hash identifiers, apply consent, and commit it before the answer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from twite.consent.verdict import judging
from twite.domain.consent import Judge, person_keys
from twite.domain.conversion import Identifiers
from twite.domain.destination import Destination, Source
from twite.domain.errors import LedgerUnavailable, NameTaken
from twite.domain.submission import (
    AcceptedConversion,
    Endpoint,
    Idempotency,
    Recorded,
    Submission,
)
from twite.domain.times import SECOND
from twite.formats.beacon.shape import PixelCall
from twite.formats.native import read as native
from twite.formats.native.read import ParsedNative
from twite.formats.parsed_request import ParsedRequest
from twite.formats.x_api import read as x_api
from twite.gateway.ingest.entries import (
    Watch,
    held_indexes,
    notices_of,
    of_x,
    responses_of,
    split_results,
    suppressions,
    tag_events,
    tag_outcomes,
    with_denials,
)
from twite.gateway.ingest.flaws import (
    DoubleHashFilter,
    flawed,
    flawed_x,
    matchable,
    matchable_x,
    weigh_match_keys,
)
from twite.gateway.ingest.receipts import AcceptReceipt, XAcceptReceipt, XAcceptRefusal
from twite.gateway.ingest.tag_only import TagOnlyEvents, tag_only_events
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.events import Observer, SilentObserver, Troubled, TroublePlace
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.privacy import Privacy
from twite.gateway.ports.store import Intake
from twite.gateway.ports.tags import BrowserWait, DispatchesTags, FiringResult
from twite.gateway.preview.entries import record_entries
from twite.gateway.preview.trace import current, sends_nothing
from twite.gtm.template.sandbox import Incoming

NO_REQUEST: Final = Incoming()
TROUBLED_FOR: Final = 5 * SECOND
# Clients of the X-shaped route use the pixel's own credentials and have no source.
X_SOURCE = "x-api"


@dataclass(kw_only=True, eq=False, repr=False)
class Accept:
    """Accepts requests.

    `wake` is called for each pixel with new deliveries. `wall` is the time of conversions without
    one; `clock` measures intervals. Without `tag_dispatcher`, no tags fire.
    """

    ledger: Intake
    clock: Clock
    randomness: Randomness
    destinations: Mapping[str, Destination]
    salt: bytes
    wake: Callable[[str], None]
    opt_outs: Privacy | None = None
    watch: Watch | None = None
    guards: ValueGuards = field(default_factory=ValueGuards)
    observer: Observer = field(default_factory=SilentObserver)
    wall: Clock | None = None
    tag_dispatcher: DispatchesTags | None = None
    _double_hashes: DoubleHashFilter = field(init=False, default_factory=DoubleHashFilter)
    # Requests in progress, each with a future of its end if somebody waits for it.
    _begun: dict[object, asyncio.Future[None] | None] = field(init=False, default_factory=dict)
    # When a commit last failed (monotonic), and why.
    _failed: tuple[int, str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._wall = self.wall or self.clock
        self._watch = self.watch or Watch(destinations=self.destinations, salt=self.salt)
        self._failure_reported_at = self.clock.elapsed() - TROUBLED_FOR

    async def passed(self) -> None:
        """Wait until all current requests are committed or refused."""
        loop = asyncio.get_running_loop()
        for request, end in self._begun.items():
            self._begun[request] = end or loop.create_future()
        ends = [end for end in self._begun.values() if end is not None]
        if ends:
            await asyncio.wait(ends)

    def _begin(self) -> object:
        request = object()
        self._begun[request] = None
        return request

    def _end(self, request: object) -> None:
        end = self._begun.pop(request)
        if end is not None:
            end.set_result(None)

    @property
    def trouble(self) -> str | None:
        """The reason of a recently failed commit, or None.

        It expires after a few seconds: otherwise a load balancer that stops traffic because of it
        would never notice the recovery.
        """
        if self._failed is None:
            return None
        at, reason = self._failed
        return reason if self.clock.elapsed() - at < TROUBLED_FOR else None

    async def native(
        self, *, source: Source, body: bytes, idempotency_key: str | None = None
    ) -> AcceptReceipt:
        """Accept a request in the native format.

        Raises MalformedRequest, NameTaken, LedgerFull, LedgerUnavailable; nothing is stored then.
        """
        now = self._wall.now()
        reading = native.read(
            body,
            source=source,
            destinations=self.destinations,
            now=now,
            salt=self.salt,
            idempotency_key=idempotency_key,
            consent=self._judge(source, now),
        )
        name = None
        if idempotency_key is not None:
            name = native.named(body, source=source.name, key=idempotency_key, salt=self.salt)
        request = self._begin()
        try:
            return await self._keep(
                reading, source=source, endpoint=Endpoint.NATIVE, idempotency=name
            )
        finally:
            self._end(request)

    async def found(
        self,
        found: ParsedRequest,
        *,
        source: Source,
        endpoint: Endpoint,
        pixel_calls: Sequence[PixelCall] = (),
        request: Incoming = NO_REQUEST,
        client: str = "",
        waits: BrowserWait | None = None,
    ) -> AcceptReceipt:
        """Accept a request that another format has parsed.

        `pixel_calls` are the page's reports of X's pixel. `request` is the part that tags may read,
        `client` the client template that parsed it. `waits`: a browser waits for the response.
        Ignored items are counted in the same commit. Raises LedgerFull, LedgerUnavailable; nothing
        is stored then.
        """
        now = self._wall.now()
        judge = partial(
            native.judge,
            source=source,
            destinations=self.destinations,
            now=now,
            salt=self.salt,
            consent=self._judge(source, now),
        )
        if found.unwanted:
            found = with_denials(found, judge)
        reading = judge(found)
        ongoing = self._begin()
        try:
            return await self._keep(
                reading,
                source=source,
                endpoint=endpoint,
                found=found,
                pixel_calls=pixel_calls,
                request=request,
                client=client,
                waits=waits,
            )
        finally:
            self._end(ongoing)

    async def _keep(
        self,
        reading: ParsedNative,
        *,
        source: Source,
        endpoint: Endpoint,
        found: ParsedRequest | None = None,
        pixel_calls: Sequence[PixelCall] = (),
        idempotency: Idempotency | None = None,
        request: Incoming = NO_REQUEST,
        client: str = "",
        waits: BrowserWait | None = None,
    ) -> AcceptReceipt:
        now = self.clock.now()
        if (trace := current()) is not None:
            trace.request(request, client=client or endpoint.value)
        entries, refusals, remarks = split_results(
            reading, look=self.guards.look(source.name), salt=self.salt
        )
        firing, tag_only = FiringResult(), TagOnlyEvents()
        if self.tag_dispatcher is not None and self.tag_dispatcher.listens_to(source.name):
            dispatch = partial(
                self.tag_dispatcher.dispatch,
                source=source,
                request=request,
                client=client or endpoint.value,
                now=self._wall.now(),
            )
            firing = await dispatch(
                tag_events(reading, found),
                first=len(reading.results),
                held={entry.index: entry.held for entry in entries if entry.held is not None},
                waits=waits,
            )
            if found is None:
                after = len(reading.results) + len(firing.fired)
                tag_only = await tag_only_events(reading, dispatch, first=after)
                refusals = tuple(each for each in refusals if each.index not in tag_only.entries)
                remarks = (*remarks, *tag_only.warnings(reading))
        fired = (*firing.fired, *tag_only.fired)
        flaws = flawed(reading.results) + self._double_hashes.among(matchable(reading))
        entries, flaws = weigh_match_keys(entries, flaws, of_nobody=flaws)
        submission = Submission(
            receipt=self.randomness.receipt(),
            source=source.name,
            endpoint=endpoint,
            received_at=now,
            body=reading.body,
            entries=(*entries, *fired),
            refusals=refusals,
            ignored=() if found is None else found.ignored,
            sightings=self._watch.of(
                reading.results, endpoint=endpoint, now=now, pixel_calls=pixel_calls
            ),
            flaws=flaws,
            unfired=(*firing.unfired, *tag_only.unfired),
            idempotency=idempotency,
        )
        suppressed = tuple(entry.index for entry in entries if entry.suppressed is not None)
        recorded = await self._record(submission, fired)
        again = recorded.duplicates
        duplicates = tuple(index for index in again if index < len(reading.results))
        if not sends_nothing():
            self.guards.learn(
                source.name,
                (
                    result.conversion
                    for result in reading.results
                    if result.suppressed is None and result.index not in duplicates
                ),
            )
        held = held_indexes(entries, recorded)
        receipt = AcceptReceipt(
            receipt=submission.receipt,
            accepted=len(entries) - len(suppressed) - len(duplicates) - len(held),
            duplicates=len(duplicates),
            suppressed=len(suppressed),
            held=len(held),
            rejected=refusals,
            warnings=remarks,
            duplicate_indexes=duplicates,
            suppressed_indexes=suppressed,
            held_indexes=held,
            suppressed_reasons=suppressions(entries),
            tags=tag_outcomes(fired, again),
            responses=responses_of(firing, again),
        )
        return tag_only.counted_in(receipt, recorded)

    async def from_x(
        self,
        *,
        destination: Destination,
        body: bytes,
        source: str = X_SOURCE,
        endpoint: Endpoint = Endpoint.X_API,
    ) -> XAcceptReceipt:
        """Accept a request in X's format, for a pixel that its client may use.

        Raises XAcceptRefusal if X would refuse the request, LedgerFull, LedgerUnavailable.
        """
        now = self.clock.now()
        reading = x_api.read(body, destination=destination, salt=self.salt)
        if isinstance(reading, x_api.XApiRefusal):
            raise XAcceptRefusal(status=reading.status, complaints=reading.complaints)
        revoked = [
            self._revoked(conversion.identifiers, conversion.pixel)
            for conversion in reading.conversions
        ]
        entries, kept = of_x(
            reading.conversions,
            revoked=revoked,
            body=reading.body,
            look=self.guards.look(source),
        )
        doubles = self._double_hashes.among(
            matchable_x(reading.conversions, reading.flaws, revoked)
        )
        entries, flaws = weigh_match_keys(
            entries,
            flawed_x(reading.conversions, reading.flaws, revoked) + doubles,
            # Other flaws are visible in the digest itself. Of several elements with a hash each,
            # the last is sent, and that one may be good.
            of_nobody=doubles,
        )
        submission = Submission(
            receipt=self.randomness.receipt(),
            source=source,
            endpoint=endpoint,
            received_at=now,
            body=kept,
            entries=entries,
            sightings=self._watch.of_x(
                [
                    conversion
                    for conversion, entry in zip(reading.conversions, entries, strict=True)
                    if entry.suppressed is None
                ],
                now=now,
            ),
            flaws=flaws,
        )
        duplicates = (await self._record(submission)).duplicates
        self.guards.learn(
            source,
            (
                conversion
                for conversion, entry in zip(reading.conversions, entries, strict=True)
                if entry.suppressed is None and entry.index not in duplicates
            ),
        )
        return XAcceptReceipt(receipt=submission.receipt, processed=len(entries))

    def _judge(self, source: Source, now: int) -> Judge:
        has_opt_outs = self.opt_outs is not None and self.opt_outs.some()
        revoked = self._revoked if has_opt_outs else None
        return judging(policy=source.consent, now=now, revoked=revoked)

    def _revoked(self, identifiers: Identifiers, pixel: str) -> bool:
        if self.opt_outs is None or not self.opt_outs.some():
            return False
        return self.opt_outs.lists(person_keys(identifiers, pixel=pixel, salt=self.salt))

    async def _record(
        self, submission: Submission, fired: Sequence[AcceptedConversion] = ()
    ) -> Recorded:
        """Commit a submission, wake the workers of its pixels, and return the result."""
        if (trace := current()) is not None:
            record_entries(trace, submission.entries)
            if trace.sends_nothing:
                return Recorded()
        try:
            recorded = await self.ledger.record(submission)
        except LedgerUnavailable as error:
            now = self.clock.elapsed()
            self._failed = now, error.reason
            if now - self._failure_reported_at >= TROUBLED_FOR:
                # Report at intervals: under traffic there are thousands, all alike.
                self._failure_reported_at = now
                self.observer.see(Troubled(where=TroublePlace.LEDGER, reason=error.reason))
            raise
        self._failed = None
        if recorded.conflict:
            raise NameTaken("this idempotency key was used for a different request")
        for pixel in {entry.pixel for entry in submission.entries}:
            self.wake(pixel)
        for notice in notices_of(submission, fired, recorded.duplicates):
            self.observer.see(notice)
        return recorded
