"""Consent choices that arrive without a conversion, and changes of a source's consent policy."""

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from twite.consent.decide_again import decide_again
from twite.consent.statements import ConsentStatus, Purpose, Signals, statements
from twite.domain.cause import DeliveryCause
from twite.domain.consent import ConsentAction, ConsentPolicy, person_keys, policy_version
from twite.domain.conversion import Identifiers
from twite.domain.destination import Source
from twite.domain.fault import Fault, fault
from twite.domain.plural import plural
from twite.domain.secret import Masked
from twite.formats.native.values import identifiers_of
from twite.formats.parsed_request import Native
from twite.formats.strict_json import decode
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import TakeBack
from twite.gateway.ports.privacy import Privacy
from twite.gateway.ports.queries import UndeliveredQuery
from twite.gateway.ports.state import DecisionPolicy
from twite.gateway.ports.store import Store
from twite.gateway.ports.tags import PREFIX, policy_for

_AT_ONCE: Final = 1_000


_DECIDING = frozenset({Purpose.STORAGE, Purpose.USER_DATA, Purpose.SALE})


def revokes(signals: Signals, policy: ConsentPolicy, *, now: int) -> bool | None:
    """Return whether the signals revoke consent (True) or give it (False).

    None if they do neither, or if a signal is unreadable.
    """
    stated = statements(signals, policy, now=now)
    deciding = {statement.status for statement in stated if statement.purpose in _DECIDING}
    if ConsentStatus.DENIED in deciding:
        return True
    if (
        any(statement.status is ConsentStatus.UNCLEAR for statement in stated)
        or ConsentStatus.GRANTED not in deciding
    ):
        return None
    return False


class ConsentChoice(Masked, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /v1/consent`: a choice, and the identifiers that it applies to."""

    consent: dict[str, str | bool]
    email: str | None = None
    email_sha256: str | None = None
    phone: str | None = None
    phone_sha256: str | None = None
    twclid: str | None = None

    def person(self, *, region: str | None) -> tuple[Identifiers, list[Fault]]:
        """Return the identifiers, and the faults that prevent the choice from being applied.

        An unreadable identifier is a fault, because the choice would not apply to its person.
        """
        faults: list[Fault] = []
        keys = Native(
            email=self.email,
            email_sha256=self.email_sha256,
            phone=self.phone,
            phone_sha256=self.phone_sha256,
            twclid=self.twclid,
        )
        identifiers = identifiers_of(keys, region=region, faults=faults, notes=faults)
        if not faults and identifiers == Identifiers():
            message = "an email, a phone number or a click id is required"
            faults.append(fault("", "identifier_missing", message))
        return identifiers, faults


class ConsentChoiceResult(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded choice, and the number of identifiers that it applies to."""

    revoked: bool
    identifiers: int


class UnusableChoice(Exception):
    """The choice cannot be recorded.

    `faults` are the reasons; if there are none, the signals are not a clear choice.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(", ".join(fault.code for fault in faults) or "no choice")
        self.faults = faults


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class RecordConsentChoice:
    """Records choices on the opt-out list, for all pixels of the source that reports them."""

    privacy: Privacy
    clock: Clock
    salt: bytes

    async def note(self, *, source: Source, body: bytes) -> ConsentChoiceResult:
        """Store a choice, which applies to all deliveries that are claimed afterwards.

        Raises MalformedRequest, UnusableChoice, LedgerUnavailable.
        """
        now = self.clock.now()
        choice = decode(_DECODER, body)
        identifiers, faults = choice.person(region=source.region)
        revoked = revokes(choice.consent, source.consent, now=now)
        if faults or revoked is None:
            raise UnusableChoice(faults)
        keys = [
            key
            for pixel in sorted(source.pixels)
            for key in person_keys(identifiers, pixel=pixel, salt=self.salt)
        ]
        if revoked:
            await self.privacy.revoke(keys, now=now)
        else:
            await self.privacy.restore(keys)
        return ConsentChoiceResult(revoked=revoked, identifiers=len(keys) // len(source.pixels))


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class PolicyChange:
    """Suppresses or holds conversions that a changed policy forbids.

    Denials are recorded only for the pixels of sources that wait. So if none waits, or a reload has
    ended the wait for the pixels in `unjoined`, what is known of all visitors is forgotten.

    Runs before sending starts, and after a reload of the settings.
    """

    sources: Iterable[Source]
    store: Store
    clock: Clock
    observer: Observer
    unjoined: frozenset[str] = frozenset()

    async def once(self, *, again: Container[str] = ()) -> int:
        """Apply changed policies; return the number of deliveries suppressed or held.

        The policies of the sources in `again` are applied even if they have been applied before.
        Raises LedgerUnavailable. The policy is stored last, so that an interrupted change is
        repeated at the next start.
        """
        if self.unjoined or not joined_pixels(self.sources):
            while await self.store.forget_identifiers(most=_AT_ONCE):
                pass
        policies = await self.store.load(DecisionPolicy)
        noted = {policy.source: policy.version for policy in policies}
        taken = 0
        for source in self.sources:
            version = policy_version(source.consent)
            if noted.get(source.name) == version and source.name not in again:
                continue
            if source.name in noted:
                taken += await self._of(source)
            await self.store.put([DecisionPolicy(source=source.name, version=version)])
        return taken

    async def _of(self, source: Source) -> int:
        after = taken = 0
        for_tags = policy_for(source.consent)
        while True:
            undelivered = await self.store.answer(
                UndeliveredQuery(source=source.name, after=after, limit=_AT_ONCE)
            )
            if not undelivered:
                break
            after = undelivered[-1].delivery
            taken_back = defaultdict[tuple[DeliveryCause, str, bool], list[int]](list)
            for delivery in undelivered:
                is_tags = delivery.pixel.startswith(PREFIX)
                found = decide_again(delivery.evidence, for_tags if is_tags else source.consent)
                if found is not None:
                    hold = found.action is ConsentAction.HOLD
                    cause = found.cause or DeliveryCause.CONSENT_DENIED
                    taken_back[cause, found.reason or found.rule, hold].append(delivery.delivery)
            for (cause, reason, hold), deliveries in taken_back.items():
                move = TakeBack(deliveries=deliveries, cause=cause, reason=reason, hold=hold)
                taken += (await self.store.move(move, now=self.clock.now())).moved
        if taken:
            policy = f"the consent policy of source {source.name} has changed"
            summary = f"{policy}: {plural(taken, 'conversion')} will not be sent"
            self.observer.see(ProblemSeen(where=ProblemPlace.CONSENT, reason=summary))
        return taken


def joined_pixels(sources: Iterable[Source]) -> frozenset[str]:
    """Return the pixels for which a source waits."""
    return frozenset[str]().union(*(source.joined_pixels for source in sources))


_DECODER: Final = msgspec.json.Decoder(ConsentChoice)
