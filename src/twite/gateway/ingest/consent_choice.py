"""Consent choice: a person withdraws consent or gives it again, apart from a conversion."""

import msgspec

from twite.consent.statements import ConsentStatus, Purpose, Signals, statements
from twite.domain.consent import ConsentPolicy, person_keys
from twite.domain.destination import Source
from twite.domain.fault import Fault
from twite.formats import consent_choice as choice
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.privacy import Privacy

_DECIDING = frozenset({Purpose.STORAGE, Purpose.USER_DATA, Purpose.SALE})


def revokes(signals: Signals, policy: ConsentPolicy, *, now: int) -> bool | None:
    """Return whether the signals revoke consent (True) or give it (False).

    None if they do neither, or if one of them is unreadable.
    """
    stated = statements(signals, policy, now=now)
    deciding = {statement.word for statement in stated if statement.matter in _DECIDING}
    if ConsentStatus.DENIED in deciding:
        return True
    if (
        any(statement.word is ConsentStatus.UNCLEAR for statement in stated)
        or ConsentStatus.GRANTED not in deciding
    ):
        return None
    return False


class ConsentChoiceResult(msgspec.Struct, frozen=True, kw_only=True):
    """The choice recorded, and the number of its identifiers."""

    revoked: bool
    identifiers: int


class UnusableChoice(Exception):
    """The choice cannot be recorded. `faults` say why; without any, the body is not a choice."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(", ".join(fault.code for fault in faults) or "no choice")
        self.faults = faults


class RecordConsentChoice:
    """Records choices on the opt-out list, for all pixels of the source that reports them."""

    def __init__(self, *, opt_outs: Privacy, clock: Clock, salt: bytes) -> None:
        self._opt_outs = opt_outs
        self._clock = clock
        self._salt = salt

    async def note(self, *, source: Source, body: bytes) -> ConsentChoiceResult:
        """Store a choice. Deliveries claimed after it obey it.

        Raises MalformedRequest, UnusableChoice, LedgerUnavailable.
        """
        now = self._clock.now()
        read = choice.read(body, region=source.region)
        revoked = revokes(read.consent, source.consent, now=now)
        if read.faults or revoked is None:
            raise UnusableChoice(read.faults)
        keys = [
            key
            for pixel in sorted(source.pixels)
            for key in person_keys(read.identifiers, pixel=pixel, salt=self._salt)
        ]
        if revoked:
            await self._opt_outs.revoke(keys, now=now)
        else:
            await self._opt_outs.restore(keys)
        return ConsentChoiceResult(revoked=revoked, identifiers=len(keys) // len(source.pixels))
