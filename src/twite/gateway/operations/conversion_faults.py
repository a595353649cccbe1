"""The faults of a conversion, before it is submitted: a refused test counts nowhere."""

from collections.abc import Sequence

from twite.consent.verdict import judging
from twite.domain.destination import Source
from twite.domain.fault import Fault
from twite.formats.native import read as native
from twite.gateway.ingest.accept import Accept


def conversion_faults(accept: Accept, source: Source, body: bytes) -> Sequence[Fault]:
    """Return why a source's conversion would be rejected. Raises MalformedRequest."""
    now = accept.clock.now()
    source = source.at(now)
    (result,) = native.read(
        body,
        source=source,
        destinations=accept.destinations,
        now=now,
        salt=accept.salt,
        idempotency_key=None,
        judge=judging(policy=source.consent, now=now),
    ).results
    return result.faults if result.is_faulty else ()
