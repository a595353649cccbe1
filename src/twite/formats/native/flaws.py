"""Match quality: find the flaws of a native conversion's match keys, as they were written."""

from collections.abc import Sequence
from typing import Final

from twite.domain.fault import Fault
from twite.domain.identifiers import Identifiers
from twite.domain.stats.match_keys import (
    FLAWS,
    Flaw,
    digest_flaw,
    is_digest,
    is_placeholder,
    shape_of,
    stale,
)
from twite.formats.native_shape import Native

_OUR_COOKIE: Final = "1."


def flaws_of(
    given: Native, identifiers: Identifiers, faults: Sequence[Fault], *, now: int
) -> tuple[Flaw, ...]:
    """Return the flaws; `faults` are those already found, notes included."""
    if not faults and given.email_sha256 is given.phone_sha256 is None:
        # The usual case, and fast.
        clean = given.email is None or ("@" in given.email and not is_placeholder(given.email))
        if clean and not (given.twclid or "").startswith(_OUR_COOKIE):
            return ()
    found = [
        Flaw(code=fault.code, path=fault.path, shape=_shape(given, fault.path))
        for fault in faults
        if fault.code in FLAWS
    ]
    if given.email_sha256 is not None and identifiers.email is not None:
        flaw = digest_flaw(given.email_sha256, path="email_sha256", raw=given.email)
        found += [] if flaw is None else [flaw]
    elif identifiers.email is None or given.email is None:
        pass
    elif is_digest(given.email):
        flaw = digest_flaw(given.email, path="email")
        found += [] if flaw is None else [flaw]
    elif is_placeholder(given.email):
        found.append(Flaw(code="email_placeholder", path="email", shape=shape_of(given.email)))
    if given.phone_sha256 is not None and identifiers.phone is not None:
        flaw = digest_flaw(given.phone_sha256, path="phone_sha256", raw=given.phone)
        found += [] if flaw is None else [flaw]
    if given.twclid is not None and given.twclid.startswith(_OUR_COOKIE):
        at = given.twclid.split(".", 2)[1]
        if at.isascii() and at.isdigit() and len(at) <= 15 and stale(int(at), now=now):
            found.append(Flaw(code="click_stale", path="twclid"))
    return tuple(found)


def digests_of(given: Native) -> tuple[bool, bool]:
    """Return whether email and phone were submitted as digests, in whichever field."""
    return (
        given.email_sha256 is not None or (given.email is not None and is_digest(given.email)),
        given.phone_sha256 is not None or (given.phone is not None and is_digest(given.phone)),
    )


def _shape(given: Native, path: str) -> str:
    """Describe how a field is written. A value that is not a match key has no pattern."""
    text = getattr(given, path, None) if path else None
    return shape_of(text) if isinstance(text, str) else ""
