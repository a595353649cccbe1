"""`POST /v1/consent` format: a person's consent choice, and the identifiers it applies to."""

from typing import Final

import msgspec

from twite.domain.conversion import Identifiers
from twite.domain.fault import Fault, fault
from twite.domain.secret import Masked
from twite.formats.native.values import identifiers_of
from twite.formats.parsed_request import Native
from twite.formats.strict_json import decode


class ConsentChoice(Masked, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The request as submitted. It holds personal data: its repr is masked."""

    consent: dict[str, str | bool]
    email: str | None = None
    email_sha256: str | None = None
    phone: str | None = None
    phone_sha256: str | None = None
    twclid: str | None = None


class ChoiceRead(msgspec.Struct, frozen=True, kw_only=True):
    """The choice, decoded. If there are `faults`, it must not be applied."""

    consent: dict[str, str | bool]
    identifiers: Identifiers
    faults: tuple[Fault, ...]


def read(body: bytes, *, region: str | None) -> ChoiceRead:
    """Read a choice. Raises MalformedRequest if it is not JSON or not of this shape.

    An unreadable identifier is a fault, because the choice would not apply to its person.
    """
    given = decode(_DECODER, body)
    faults: list[Fault] = []
    keys = Native(
        email=given.email,
        email_sha256=given.email_sha256,
        phone=given.phone,
        phone_sha256=given.phone_sha256,
        twclid=given.twclid,
    )
    identifiers = identifiers_of(keys, region=region, faults=faults, notes=faults)
    if not faults and identifiers == Identifiers():
        message = "an email, a phone number or a click id is required"
        faults.append(fault("", "identifier_missing", message))
    return ChoiceRead(consent=given.consent, identifiers=identifiers, faults=tuple(faults))


_DECODER: Final = msgspec.json.Decoder(ConsentChoice)
