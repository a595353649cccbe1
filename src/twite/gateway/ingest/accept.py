"""Accept: what came in is read, hashed, judged and on disk before it is acknowledged."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from twite.consent.verdict import judging
from twite.domain.consent import Judge, person_keys
from twite.domain.destination import Destination, Source
from twite.domain.errors import LedgerUnavailable, NameTaken
from twite.domain.identifiers import Identifiers
from twite.domain.outcome import XComplaint
from twite.domain.submission import (
    AcceptedConversion,
    Endpoint,
    Idempotency,
    Recorded,
    RejectedConversion,
    Submission,
)
from twite.domain.times import SECOND
from twite.formats.beacon.shape import BeaconTwin
from twite.formats.native import read as native
from twite.formats.native.read import ParsedNative
from twite.formats.parsed_request import ParsedRequest
from twite.formats.x_api import read as x_api
from twite.gateway.ingest.double_hash_filter import DoubleHashFilter
from twite.gateway.ingest.entries import (
    IdentifierWarning,
    Suppressed,
    fates_of,
    flawed,
    flawed_x,
    of_x,
    said_in,
    sorted_out,
    to_match,
    to_match_x,
    told_of,
    weighed,
)
from twite.gateway.ingest.in_progress import InProgress
from twite.gateway.ingest.opt_outs import NobodyOptedOut
from twite.gateway.ingest.sightings import Watch
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.consents import OptOutEntry
from twite.gateway.ports.events import Observer, SilentObserver, Troubled, TroublePlace
from twite.gateway.ports.store import Clock, Intake, Randomness
from twite.gateway.ports.tags import DispatchesTags, FiringResult, TagOutcome
from twite.gtm.template.sandbox import Incoming

NO_REQUEST: Final = Incoming()
TROUBLED_FOR: Final = 5 * SECOND
# Those who post to the X-shaped route show the pixel's own credentials; they are no source of ours.
X_SOURCE = "x-api"


class AcceptReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a submission, once it is on disk.

    The indexes are the places of the duplicates, of the suppressed and of the held within it;
    `suppressed_reasons` says why of each suppressed one; `tags` are those that fired.
    """

    receipt: str
    accepted: int
    duplicates: int
    suppressed: int
    held: int = 0
    rejected: tuple[RejectedConversion, ...] = ()
    warnings: tuple[IdentifierWarning, ...] = ()
    duplicate_indexes: tuple[int, ...] = ()
    suppressed_indexes: tuple[int, ...] = ()
    held_indexes: tuple[int, ...] = ()
    suppressed_reasons: tuple[Suppressed, ...] = ()
    tags: tuple[TagOutcome, ...] = ()


class XAcceptReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What X would answer: how many it took, and the id to ask support about."""

    receipt: str
    processed: int


class XAcceptRefusal(Exception):
    """What X would refuse, in X's own words: all of the request, by X's rule."""

    def __init__(self, *, status: int, complaints: tuple[XComplaint, ...]) -> None:
        super().__init__(f"{status}: {', '.join(complaint.code for complaint in complaints)}")
        self.status = status
        self.complaints = complaints


class Accept:
    """Takes submissions in. `wake` is called with a pixel that has new deliveries."""

    def __init__(
        self,
        *,
        ledger: Intake,
        clock: Clock,
        randomness: Randomness,
        destinations: Mapping[str, Destination],
        salt: bytes,
        wake: Callable[[str], None],
        opt_outs: OptOutEntry | None = None,
        watch: Watch | None = None,
        guards: ValueGuards | None = None,
        observer: Observer | None = None,
        wall: Clock | None = None,
        fire: DispatchesTags | None = None,
    ) -> None:
        """`wall` is what a conversion without a time is dated by, `clock` what windows go by.

        Without `fire` there are no tags.
        """
        self._fire = fire
        self._ledger = ledger
        self._clock = clock
        self._wall = wall or clock
        self._randomness = randomness
        self._destinations = destinations
        self._salt = salt
        self._wake = wake
        self._opt_outs = opt_outs or NobodyOptedOut()
        self._guards = guards or ValueGuards()
        self._doubles = DoubleHashFilter()
        self._in_progress = InProgress()
        self._watch = watch or Watch(destinations=destinations, salt=salt)
        self._observer = observer or SilentObserver()
        # When a commit last failed (monotonic), and why.
        self._failed: tuple[int, str] | None = None
        self._failure_told = clock.elapsed() - TROUBLED_FOR

    async def passed(self) -> None:
        """Wait until what is being taken in now is on disk, or refused."""
        await self._in_progress.passed()

    @property
    def trouble(self) -> str | None:
        """Why a submission could not be committed a moment ago, or None.

        It is forgotten after a few seconds: whoever keeps traffic away because of it would else
        never learn that it has passed.
        """
        if self._failed is None:
            return None
        at, reason = self._failed
        return reason if self._clock.elapsed() - at < TROUBLED_FOR else None

    async def native(
        self, *, source: Source, body: bytes, idempotency_key: str | None = None
    ) -> AcceptReceipt:
        """Accept a submission in our own format.

        Raises Malformed, AnotherByThatName, LedgerFull, LedgerUnavailable; nothing of it was kept
        then.
        """
        now = self._wall.now()
        reading = native.read(
            body,
            source=source,
            destinations=self._destinations,
            now=now,
            salt=self._salt,
            idempotency_key=idempotency_key,
            consent=self._judge(source, now),
        )
        name = None
        if idempotency_key is not None:
            name = native.named(body, source=source.name, key=idempotency_key, salt=self._salt)
        with self._in_progress.one():
            return await self._keep(reading, source=source, door=Endpoint.NATIVE, idempotency=name)

    async def found(
        self,
        found: ParsedRequest,
        *,
        source: Source,
        door: Endpoint,
        twins: Sequence[BeaconTwin] = (),
        request: Incoming = NO_REQUEST,
        client: str = "",
    ) -> AcceptReceipt:
        """Accept what another door found in a request. `twins` says what the pixel was given.

        `request` is what tags may read of it, `client` the client template that read it. What it
        ignored is counted with the same commit. Raises LedgerFull, LedgerUnavailable;
        nothing of it was kept then.
        """
        now = self._wall.now()
        reading = native.judge(
            found,
            source=source,
            destinations=self._destinations,
            now=now,
            salt=self._salt,
            consent=self._judge(source, now),
        )
        with self._in_progress.one():
            return await self._keep(
                reading,
                source=source,
                door=door,
                found=found,
                twins=twins,
                request=request,
                client=client,
            )

    async def _keep(
        self,
        reading: ParsedNative,
        *,
        source: Source,
        door: Endpoint,
        found: ParsedRequest | None = None,
        twins: Sequence[BeaconTwin] = (),
        idempotency: Idempotency | None = None,
        request: Incoming = NO_REQUEST,
        client: str = "",
    ) -> AcceptReceipt:
        now = self._clock.now()
        entries, refusals, remarks = sorted_out(
            reading, look=self._guards.look(source.name), salt=self._salt
        )
        heard = FiringResult()
        if self._fire is not None and self._fire.hears(source.name):
            heard = await self._fire.heard(
                said_in(reading, found),
                source=source,
                request=request,
                client=client or door.value,
                now=self._wall.now(),
                first=len(reading.results),
                held={one.index: one.held for one in entries if one.held is not None},
            )
        flaws = flawed(reading.results) + self._doubles.among(to_match(reading))
        entries, flaws = weighed(entries, flaws, of_nobody=flaws)
        submission = Submission(
            receipt=self._randomness.receipt(),
            source=source.name,
            door=door,
            received_at=now,
            body=reading.body,
            entries=(*entries, *heard.fired),
            refusals=refusals,
            ignored=() if found is None else found.ignored,
            sightings=self._watch.of(reading.results, door=door, now=now, twins=twins),
            flaws=flaws,
            unfired=heard.unfired,
            idempotency=idempotency,
        )
        suppressed = tuple(entry.index for entry in entries if entry.suppressed is not None)
        recorded = await self._record(submission, heard.fired)
        again = recorded.duplicates
        duplicates = tuple(index for index in again if index < len(reading.results))
        self._guards.learn(
            source.name,
            (
                result.conversion
                for result in reading.results
                if result.suppressed is None and result.index not in duplicates
            ),
        )
        held = tuple(
            [
                one.index
                for one in entries
                if (one.held or one.index in recorded.held) and one.index not in duplicates
            ]
        )
        return AcceptReceipt(
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
            suppressed_reasons=tuple(
                Suppressed(index=entry.index, reason=entry.suppressed)
                for entry in entries
                if entry.suppressed is not None
            ),
            tags=fates_of(heard.fired, again),
        )

    async def from_x(
        self,
        *,
        destination: Destination,
        body: bytes,
        source: str = X_SOURCE,
        door: Endpoint = Endpoint.X_API,
    ) -> XAcceptReceipt:
        """Accept a request in X's own format, for a pixel that whoever sent it may use.

        Raises XRefused where X would refuse it, LedgerFull, LedgerUnavailable.
        """
        now = self._clock.now()
        reading = x_api.read(body, destination=destination, salt=self._salt)
        if isinstance(reading, x_api.XApiRefusal):
            raise XAcceptRefusal(status=reading.status, complaints=reading.complaints)
        revoked = [self._revoked(one.identifiers, one.pixel) for one in reading.conversions]
        entries, kept = of_x(
            reading.conversions,
            revoked=revoked,
            body=reading.body,
            look=self._guards.look(source),
        )
        doubles = self._doubles.among(to_match_x(reading.conversions, reading.flaws, revoked))
        entries, flaws = weighed(
            entries,
            flawed_x(reading.conversions, reading.flaws, revoked) + doubles,
            # What else there is of nobody is told by its own digest: of several elements with a
            # hash each, the last is sent, and it may be a good one.
            of_nobody=doubles,
        )
        submission = Submission(
            receipt=self._randomness.receipt(),
            source=source,
            door=door,
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
        self._guards.learn(
            source,
            (
                conversion
                for conversion, entry in zip(reading.conversions, entries, strict=True)
                if entry.suppressed is None and entry.index not in duplicates
            ),
        )
        return XAcceptReceipt(receipt=submission.receipt, processed=len(entries))

    def _judge(self, source: Source, now: int) -> Judge:
        """Return what decides about consent for a source's conversions at a moment."""
        return judging(
            policy=source.consent,
            now=now,
            revoked=self._revoked if self._opt_outs.some() else None,
        )

    def _revoked(self, identifiers: Identifiers, pixel: str) -> bool:
        if not self._opt_outs.some():
            return False
        return self._opt_outs.lists(person_keys(identifiers, pixel=pixel, salt=self._salt))

    async def _record(
        self, submission: Submission, fired: Sequence[AcceptedConversion] = ()
    ) -> Recorded:
        """Commit, wake who sends, and return what became of it."""
        try:
            recorded = await self._ledger.record(submission)
        except LedgerUnavailable as error:
            now = self._clock.elapsed()
            self._failed = now, error.reason
            if now - self._failure_told >= TROUBLED_FOR:
                # Once in a while: with traffic there are thousands, all alike.
                self._failure_told = now
                self._observer.see(Troubled(where=TroublePlace.LEDGER, reason=error.reason))
            raise
        self._failed = None
        if recorded.conflict:
            raise NameTaken("another request went by this idempotency key")
        for pixel in {entry.pixel for entry in submission.entries}:
            self._wake(pixel)
        for notice in told_of(submission, fired, recorded.duplicates):
            self._observer.see(notice)
        return recorded
