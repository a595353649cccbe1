"""Scrub event data: replace emails, phone numbers and names with their SHA-256, in place.

Public templates pass on a string of 64 hexadecimal digits unchanged: they send the same request as
if they had hashed the value themselves.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

from twite.domain import normalize
from twite.domain.fault import Fault
from twite.redaction.phones import may_be_phone
from twite.redaction.rows import person_in_row
from twite.redaction.scrub_text import WHETHER, without_persons
from twite.redaction.shapes import ANY_DIGEST, MOST_UNQUOTED
from twite.redaction.vocabulary import (
    FieldContext,
    FieldKind,
    is_about_people,
    is_digest_key,
    kind_of_name,
    may_name_a_phone,
)

_NOTHING: Final = msgspec.UNSET  # stands for a value that is removed
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
# Values that are nested deeper than in any real event are removed.
_DEEPEST: Final = 32


def scrubbed_event(
    event: Mapping[str, object], *, region: str | None, phones: bool = True
) -> dict[str, object]:
    """Return the scrubbed event.

    `region` applies to phone numbers without a country code. Without `phones`, phone numbers are
    removed, but submitted hashes of them stay. The reason is that vendors hash different forms: X
    and Google hash `+44…`, but Meta, Pinterest and Snapchat only the digits. Unreadable emails and
    phone numbers are removed. In other texts, and in keys, an email or a number with its country
    code becomes `***`; in URLs, parameters with personal data are removed.
    """
    return _Scrubbing(region, phones=phones).table(event, FieldContext.EVENT, None, 0)


class _Scrubbing:
    """One run. `kind` is the kind of data that the parent key indicates, if any."""

    def __init__(self, region: str | None, *, phones: bool) -> None:
        self._region = region
        self._phones = phones

    def table(
        self, given: Mapping[str, object], context: FieldContext, kind: FieldKind | None, depth: int
    ) -> dict[str, object]:
        row = person_in_row(given, alone=context is FieldContext.THINGS or not depth)
        kept: dict[str, object] = {}
        for key, value in given.items():
            name = f"{key}"
            own, inside = kind_of_name(name, context)
            if row is not None and name in row[1]:
                # The value names a field, not a person.
                kept[name] = value
                continue
            if row is not None and name in row[2]:
                own, inside = row[0], FieldContext.PERSON
            scrubbed = self._value(name, value, inside, own or kind, depth + 1)
            if scrubbed is not _NOTHING:
                kept[without_persons(name)] = scrubbed
        return _with_hashes(kept) if depth else kept

    def _value(
        self, name: str, value: object, context: FieldContext, kind: FieldKind | None, depth: int
    ) -> object:
        if depth > _DEEPEST:
            return _NOTHING
        if isinstance(value, Mapping):
            # In an address, only the street is personal data.
            is_place = kind is FieldKind.NAME and is_about_people(name)
            return self.table(value, context, None if is_place else kind, depth)
        if isinstance(value, list):
            ones = [self._value(name, item, context, kind, depth + 1) for item in value]
            return [item for item in ones if item is not _NOTHING]
        if isinstance(value, float) and value.is_integer() and kind is not None:
            value = int(value)
        if kind is None and may_be_phone(value) and may_name_a_phone(name):
            kind = FieldKind.PHONE
        if kind is not None and isinstance(value, str | int) and not isinstance(value, bool):
            return self._read(name, f"{value}".strip(), kind)
        return self._text(value, context, depth) if isinstance(value, str) else value

    def _read(self, name: str, text: str, kind: FieldKind) -> object:
        if is_digest_key(name) and ANY_DIGEST.fullmatch(text):
            return text
        if kind is FieldKind.PHONE:
            if text.lower() in WHETHER:
                return text
            if not self._phones and not _DIGEST.fullmatch(text):
                return _NOTHING
        return _READERS[kind](text, self._region)

    def _text(self, text: str, context: FieldContext, depth: int) -> object:
        repeated: list[str] = []
        tree = _read_json(text, repeated)
        if tree is None:
            return without_persons(text)
        scrubbed = self._value("", tree, context, None, depth + 1)
        if scrubbed is _NOTHING:
            return _NOTHING
        # The text may contain duplicate keys, which the tree lacks.
        is_same = scrubbed == tree and not repeated
        return text if is_same else json.dumps(scrubbed, separators=(",", ":"))


def _read_json(text: str, repeated: list[str]) -> object:
    """Return the JSON in a text, which may be percent-encoded; None if there is none.

    If the JSON contains JSON in a string, that stays a string. Duplicate keys are added to
    `repeated`.
    """
    for _ in range(MOST_UNQUOTED):
        start = text.lstrip()[:1]
        if start in {"{", "[", '"'}:
            try:
                return json.loads(text, object_pairs_hook=lambda pairs: _table_of(pairs, repeated))
            except (ValueError, RecursionError):
                return None
        if start != "%":
            return None
        text = unquote(text)
    return None


def _table_of(pairs: list[tuple[str, object]], repeated: list[str]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        repeated += table
    return table


def _with_hashes(kept: dict[str, object]) -> dict[str, object]:
    """Add hashes under Google's names for hashes: some templates read only these."""
    for name in ("email_address", "phone_number"):
        hashed = kept.get(name)
        if isinstance(hashed, str):
            kept.setdefault(f"sha256_{name}", hashed)
    return kept


def _email(text: str, _: str | None) -> object:
    return _or_nothing(normalize.email_digest(text, path=""))


def _phone(text: str, region: str | None) -> object:
    return _or_nothing(normalize.phone_digest(text, region=region, path=""))


def _name(text: str, _: str | None) -> object:
    if _DIGEST.fullmatch(text) or not text:
        return text
    return hashlib.sha256(text.lower().encode("utf-8", "surrogatepass")).hexdigest()


def _or_nothing(read: str | Fault) -> object:
    return read if isinstance(read, str) else _NOTHING


_READERS: Final[Mapping[FieldKind, Callable[[str, str | None], object]]] = {
    FieldKind.EMAIL: _email,
    FieldKind.PHONE: _phone,
    FieldKind.NAME: _name,
}
