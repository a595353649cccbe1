"""`POST /v1/consent` format: a person's consent choice, and the identifiers it applies to."""

from typing import Final, TypeVar

import msgspec

from twite.domain import normalize
from twite.domain.fault import Fault, fault
from twite.domain.identifiers import Identifiers
from twite.formats.strict_json import decode

T = TypeVar("T")


class ConsentChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The request as submitted. It holds personal data: its repr is masked."""

    consent: dict[str, str | bool]
    email: str | None = None
    email_sha256: str | None = None
    phone: str | None = None
    phone_sha256: str | None = None
    twclid: str | None = None

    def __repr__(self) -> str:
        return "Choice(***)"


class ChoiceRead(msgspec.Struct, frozen=True, kw_only=True):
    """The choice, decoded. If there are `faults`, it must not be applied."""

    consent: dict[str, str | bool]
    identifiers: Identifiers
    faults: tuple[Fault, ...]


def read(body: bytes, *, region: str | None) -> ChoiceRead:
    """Read a choice. Raises MalformedRequest if it is not JSON or not of this shape.

    An unreadable identifier is a fault, in a conversion as here: a person must not be missed.
    """
    given = decode(_DECODER, body)
    faults: list[Fault] = []
    email = _email(given, faults)
    phone = _phone(given, region, faults)
    click = None
    if given.twclid is not None:
        click = _kept(normalize.click_id(given.twclid, path="twclid"), faults)
    if not faults and not (email or phone or click):
        message = "an email, a phone number or a click id: whose conversions must not be sent?"
        faults.append(fault("", "identifier_missing", message))
    return ChoiceRead(
        consent=given.consent,
        identifiers=Identifiers(email=email, phone=phone, click_id=click),
        faults=tuple(faults),
    )


def _email(given: ConsentChoice, faults: list[Fault]) -> str | None:
    if given.email_sha256 is not None:
        return _kept(normalize.digest(given.email_sha256, path="email_sha256"), faults)
    if given.email is not None:
        return _kept(normalize.email_digest(given.email, path="email"), faults)
    return None


def _phone(given: ConsentChoice, region: str | None, faults: list[Fault]) -> str | None:
    if given.phone_sha256 is not None:
        return _kept(normalize.digest(given.phone_sha256, path="phone_sha256"), faults)
    if given.phone is not None:
        return _kept(normalize.phone_digest(given.phone, region=region, path="phone"), faults)
    return None


def _kept(found: T | Fault, faults: list[Fault]) -> T | None:
    if isinstance(found, Fault):
        faults.append(found)
        return None
    return found


_DECODER: Final = msgspec.json.Decoder(ConsentChoice)
