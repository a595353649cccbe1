"""Consent choice: a person withdraws consent or gives it again, apart from a conversion."""

import msgspec

from twite.consent.choice import revokes
from twite.domain.consent import person_keys
from twite.domain.destination import Source
from twite.domain.fault import Fault
from twite.formats import consent_choice as choice
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.privacy import OptOuts


class ConsentChoiceResult(msgspec.Struct, frozen=True, kw_only=True):
    """The choice recorded, and the number of its identifiers."""

    revoked: bool
    identifiers: int


class UnusableChoice(Exception):
    """The choice cannot be recorded. `faults` say why; without any, the body is no choice."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(", ".join(fault.code for fault in faults) or "no choice")
        self.faults = faults


class RecordConsentChoice:
    """Records choices on the opt-out list, for all pixels of the source that reports them."""

    def __init__(self, *, opt_outs: OptOuts, clock: Clock, salt: bytes) -> None:
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
