"""Rejected conversions: masked copies, with keyed digests so that an erasure finds them."""

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from twite.domain.fault import Fault, MaskedFault
from twite.domain.normalize import is_private_address, visible_line
from twite.domain.stats.match_keys import shape_of
from twite.domain.submission import LONGEST_TEXT, LONGEST_VALUE, MOST_FAULTS, RejectedConversion
from twite.formats.native.conversion import ReadConversion
from twite.formats.parsed_request import Native
from twite.redaction.identifiers import has_identifier
from twite.redaction.mask_text import masked_text
from twite.redaction.scrub_text import names_a_person
from twite.redaction.shapes import MASK
from twite.redaction.vocabulary import FieldKind, kind_of

# Fields that may identify a person: Twite stores only the shape, such as `xxxx@xxxx`.
_PERSONS: Final = frozenset(
    name
    for name in Native.__struct_fields__
    if kind_of(name) not in {FieldKind.ANY, FieldKind.PLAIN}
)
_IDENTIFIERS: Final = ("email_sha256", "phone_sha256", "twclid", "twpid", "ip", "user_agent")
# Free text: Twite stores only the length.
_WRITTEN: Final = frozenset({"url", "description", "search"})
_STEP: Final = re.compile(r"([a-z_0-9]+)(?:\[(\d+)\])?")
# Amounts and single words: masking is slow, and would not change them.
_HARMLESS: Final = re.compile(
    r"-?[0-9]{1,7}(?:[.,][0-9]{1,4})?|[A-Za-z]{1,16}(?:_[A-Za-z]{1,16}){0,3}"
)
_DIGIT: Final = re.compile(r"\d")
_LETTER: Final = re.compile(r"[^\W\d_]")
_MOST_LOOKED_AT: Final = 4 * LONGEST_VALUE


def refusal_of(native: Native, read: ReadConversion, *, salt: bytes) -> RejectedConversion:
    kept = read.native
    return RejectedConversion(
        index=read.index,
        pixel=read.pixel,
        errors=read.faults,
        event=masked_value("event", native.event or ""),
        event_id=read.event,
        conversion_id=_stored_id(native, read),
        faults=tuple(_masked(fault, native) for fault in read.faults[:MOST_FAULTS]),
        marks=marks((kept.email_sha256, kept.phone_sha256, kept.twclid), salt=salt),
    )


def _stored_id(native: Native, read: ReadConversion) -> str:
    """Return a conversion id as it is stored: with escapes, so that users find what they see.

    Identifiers are not stored with it, so one in the id could not be recognized later.
    """
    identity = "" if native.conversion_id is None else str(native.conversion_id).strip()
    values = (getattr(each, name) for each in (native, read.native) for name in _IDENTIFIERS)
    codes = {fault.code for fault in read.faults if fault.path == "conversion_id"}
    if has_identifier(identity, (value for value in values if value)):
        identity = MASK
    elif codes == {"control_character"}:
        printable = "".join(c for c in identity if c.isprintable())
        identity = MASK if names_a_person(printable) else identity
    elif codes:
        identity = masked_value("conversion_id", identity)
    return visible_line(identity)[:LONGEST_TEXT]


def _masked(fault: Fault, native: Native) -> MaskedFault:
    # Paths and messages may contain unknown field names as the client wrote them.
    return MaskedFault(
        path=_masked_words(fault.path[:LONGEST_VALUE]),
        code=fault.code,
        message=_masked_words(fault.message[:LONGEST_TEXT]),
        value=masked_value(fault.path, _at(native, fault.path)),
    )


def masked_value(path: str, value: object) -> str:
    """Return the stored form of a value, at most LONGEST_VALUE characters; "" for none.

    Personal fields are stored as a shape; other strings are masked. A private IP address is that of
    a proxy, not of a person, and its value is needed to find the proxy.
    """
    if value is None or value == "":
        return ""
    text = _as_text(value)
    steps = _STEP.findall(path)
    name = steps[-1][0] if steps else ""
    if name in _WRITTEN:
        return f"… ({len(text)} characters)"
    text = text[:_MOST_LOOKED_AT]
    mixed_up = name in {"value", "price", "currency"} and _holds_more(text)
    if name not in _PERSONS and not mixed_up and _HARMLESS.fullmatch(text):
        return text
    if name == "ip" and is_private_address(text):
        return text
    if name in _PERSONS or mixed_up:
        shown = shape_of(text)
    elif name == "time":
        # Masking would treat a date as a telephone number. The shape of the date shows the fault.
        shown = _LETTER.sub("x", _DIGIT.sub("9", text))
    else:
        shown = masked_text(text)
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 1]}…"


@lru_cache(maxsize=1_024)
def _masked_words(text: str) -> str:
    """Mask the text of a fault. Cached, because many rejections repeat the same sentences."""
    return masked_text(text)


def marks(words: Iterable[str | None], *, salt: bytes) -> tuple[str, ...]:
    """Return the erasure marks: 64 bits of a keyed digest of each stored identifier."""
    return tuple(
        blake2b(word.encode(), key=salt[:64], digest_size=8).hexdigest() for word in words if word
    )


def _at(native: Native, path: str) -> object:
    """Return the value at a path such as `contents[0].price`; None if there is none."""
    here: object = native
    for name, place in _STEP.findall(path):
        here = getattr(here, name, None)
        if place:
            several = here if isinstance(here, list) else []
            here = several[int(place)] if int(place) < len(several) else None
    return None if here is native else here


def _as_text(value: object) -> str:
    if isinstance(value, msgspec.Raw):
        raw = bytes(value)
        if not raw.startswith(b'"'):
            return (
                "" if raw == b"null" else raw.decode("utf-8", "replace")
            )  # the value as the client wrote it
        try:
            return msgspec.json.decode(raw, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return raw.decode("utf-8", "replace")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _holds_more(text: str) -> bool:
    """Whether a string may be more than an amount, for example because columns were mixed up."""
    return len(text) > 24 or sum(c.isalpha() for c in text) > 4 or "@" in text or "+" in text
