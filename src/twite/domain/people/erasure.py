"""Erasure subject: convert identifiers as users write them into the values to search for.

IP addresses and user agents are shared by many people, so they cannot be searched for.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from twite.domain import normalize
from twite.domain.conversion import Identifiers
from twite.domain.fault import Fault, fault
from twite.domain.secret import Masked

EMAIL: Final = "email"
PHONE: Final = "phone"
CLICK: Final = "click"
CONVERSION_ID: Final = "conversion_id"
KINDS: Final = (EMAIL, PHONE, CLICK, CONVERSION_ID)
# No id in X's format or the native format has more characters.
LONGEST_ID: Final = 512
# Shorter values would occur in unrelated texts.
SHORTEST_CLICK: Final = 12

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_WORD: Final = re.compile(rb"[0-9A-Za-z_-]{8,}")
_RUN_OF_HEX: Final = re.compile(rb"[0-9a-fA-F]{64,}")
# A character escaped by JSON or a URL ends a word.
_SPELLED: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)|%[0-9a-fA-F]{2}")
_ADDRESS: Final = re.compile(rb"[^\s\"'<>(),;:=&?/\\|]+(?:@|%40)[^\s\"'<>(),;:=&?/\\|#]+")


class ErasureIdentifier(Masked, frozen=True, kw_only=True):
    """One identifier to erase. Its repr is masked.

    `words` are its stored forms and known variants; `texts` are emails in lower case; `identifiers`
    is the entry for the opt-out list.
    """

    in_repr = ("kind",)
    kind: str
    words: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    identifiers: Identifiers | None = None
    conversion_id: str | None = None


class ErasureSubject(Masked, frozen=True, kw_only=True):
    """The values to search for. Its repr is masked."""

    words: frozenset[bytes]
    texts: frozenset[bytes]
    persons: tuple[Identifiers, ...]
    conversion_ids: frozenset[str]

    def named_in(self, kept: bytes) -> bool:
        """Return whether text that Twite wrote contains one of the values as a whole word."""
        return bool(self.words) and not self.words.isdisjoint(_WORD.findall(kept))

    def named_in_any(self, text: bytes) -> bool:
        """Return whether text of any origin contains one of the values, plain or encoded."""
        if not self.words and not self.texts:
            return False
        apart = _SPELLED.sub(b" ", text)
        if self.named_in(apart) or self.named_in(apart.lower()):
            return True
        for run in _RUN_OF_HEX.findall(text):
            low = run.lower()
            if any(low[at : at + 64] in self.words for at in range(len(low) - 63)):
                return True
        return bool(self.texts) and any(
            address.lower().strip(b".-") in self.texts for address in _ADDRESS.findall(text)
        )


def asked(kind: str, text: str, *, region: str | None) -> ErasureIdentifier | Fault:
    """Read one identifier. A fault does not repeat the identifier."""
    plain = text.strip()
    if kind == EMAIL:
        return _email(plain)
    if kind == PHONE:
        return _phone(plain, region)
    if kind == CLICK:
        return _click(plain)
    if not 0 < len(plain) <= LONGEST_ID:
        return fault(CONVERSION_ID, "text_too_long", "empty, or longer than an id may be")
    return ErasureIdentifier(kind=CONVERSION_ID, conversion_id=plain)


def all_of(identifiers: Iterable[ErasureIdentifier]) -> ErasureSubject:
    found: Sequence[ErasureIdentifier] = tuple(identifiers)
    return ErasureSubject(
        words=frozenset(word.encode() for request in found for word in request.words),
        texts=frozenset(text.encode() for request in found for text in request.texts),
        persons=tuple(request.identifiers for request in found if request.identifiers is not None),
        conversion_ids=frozenset(
            request.conversion_id for request in found if request.conversion_id is not None
        ),
    )


def _email(text: str) -> ErasureIdentifier | Fault:
    digest = normalize.email_digest(text, path=EMAIL)
    if isinstance(digest, Fault):
        return digest
    person = Identifiers(email=digest)
    if _DIGEST.fullmatch(text):
        return ErasureIdentifier(kind=EMAIL, words=(digest, _sha256(digest)), identifiers=person)
    low = text.lower()
    return ErasureIdentifier(
        kind=EMAIL,
        # Some sources hash without lower-casing first, or hash twice.
        words=(digest, _sha256(digest), _sha256(text)),
        texts=(low, quote(low).lower(), quote(low, safe="@").lower()),
        identifiers=person,
    )


def _phone(text: str, region: str | None) -> ErasureIdentifier | Fault:
    digest = normalize.phone_digest(text, region=region, path=PHONE)
    if isinstance(digest, Fault):
        return digest
    person = Identifiers(phone=digest)
    if _DIGEST.fullmatch(text):
        return ErasureIdentifier(kind=PHONE, words=(digest, _sha256(digest)), identifiers=person)
    digits = normalize.e164(text, region).removeprefix("+")
    # Some sources hash only the digits, and tags may contain the plain number.
    return ErasureIdentifier(
        kind=PHONE, words=(digest, _sha256(digest), _sha256(digits), digits), identifiers=person
    )


def _click(text: str) -> ErasureIdentifier | Fault:
    found = normalize.click_id(text, path=CLICK)
    if isinstance(found, Fault):
        return found
    if len(found) < SHORTEST_CLICK:
        return fault(
            CLICK, "twclid_unusable", "too short: erasing this click id could also erase other text"
        )
    return ErasureIdentifier(kind=CLICK, words=(found,), identifiers=Identifiers(click_id=found))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
