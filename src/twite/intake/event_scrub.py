"""Event data without persons: emails, phone numbers and names as SHA-256, in the places they had.

Public templates look whether a text is 64 hexadecimal digits, and pass such a one on as it is: they
send the same as if they had hashed it themselves.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, unquote_plus

from twite.domain import normalize
from twite.domain.fault import Fault
from twite.intake.person_keys import Among, Kind, is_about_people, is_digest_key, kind_of, told_by

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
# In hexadecimal digits of any length, or base 64.
_ANY_DIGEST: Final = re.compile(r"[0-9a-fA-F]{32,128}|[A-Za-z0-9+/_-]{43}=?", re.ASCII)
_EMAIL: Final = re.compile(r"(?<![^\s@])[^\s@]+@[^\s@]+\.[^\s@]+")
# Written with its country code, so that no order number is taken for one.
_PHONE: Final = re.compile(
    r"(?<![A-Za-z0-9_+\uff0b])[+\uff0b]\s?[1-9](?:[\s().\u2010-\u2015/-]{0,3}\d){7,14}(?!\d)"
)
_PAIR: Final = re.compile(r"(?:^|(?<=[?&;#\s]))([\w.\[\]-]{1,128})=([^?&;#\s]+)")
_ADDRESS: Final = re.compile(r"(?:https?:/)?/\S*|[?#]\S*|[^\s=]+=\S*", re.IGNORECASE)
_PAGE: Final = re.compile(r"https?://", re.IGNORECASE)
_SUSPECT: Final = frozenset("@%+=\uff0b")
# What Stape's web tag packs a whole event into.
_PACKED: Final = frozenset({"dtdc", "dtcd"})
# What says whether, under a name that could hold a phone number (`mobile`).
_WHETHER: Final = frozenset({"", "0", "1", "true", "false", "yes", "no"})
# In a row of name and value, the name says what the value is.
_LABELS: Final = ("name", "key", "field", "label", "id")
_VALUES: Final = frozenset({"value", "values"})
# What is nested deeper than any event is cut off.
_DEEPEST: Final = 32
_MOST_UNQUOTED: Final = 3


def scrubbed_event(
    event: Mapping[str, object], *, region: str | None, phones: bool = True
) -> dict[str, object]:
    """Return the event; `region` is how to read a phone number without a country code.

    Without `phones` their numbers are left out, but for hashes that came: vendors do not agree on
    what is hashed. X and Google take `+44…`, Meta, Pinterest and Snapchat the digits alone.
    An email or phone number that cannot be read is left out. In other texts, and in keys, an email
    or a number with its country code becomes `***`; of an address, the parameters that hold a
    person are left out.
    """
    return _Scrubbing(region, phones=phones).table(event, Among.EVENT, None, 0)


def without_persons(text: str) -> str:
    """Return a text with `***` for emails and phone numbers; addresses without such parameters."""
    if _SUSPECT.isdisjoint(text):
        return text
    if _PAGE.match(text):
        return scrubbed_address(text)
    plain = _PHONE.sub("***", _EMAIL.sub("***", text))
    # Escaped, or an address without its host.
    return re.sub(r"\S+", _token, plain) if names_a_person(plain) else plain


def scrubbed_address(text: str, *, inside: int = 0) -> str:
    """Return an address of a page without the parameters that hold a person.

    `inside` is in how many others it stands.
    """
    whole, hashed, fragment = text.partition("#")
    before, mark, query = whole.partition("?")
    read = [_parameter(one, inside) for one in query.split("&")]
    parameters = [one for one in read if one is not None]
    path = "/".join("-" if names_a_person(one) else one for one in before.split("/"))
    tail = f"#{fragment}" if hashed and not names_a_person(fragment) else ""
    return f"{path}{mark if parameters and mark else ''}{'&'.join(parameters)}{tail}"


def names_a_person(part: str) -> bool:
    """Return whether a part of an address, or a cookie, holds a person, escaped or not."""
    if _SUSPECT.isdisjoint(part):
        return False
    if _shows_a_person(part.replace("%2B", "+").replace("%2b", "+")):
        return True
    for _ in range(_MOST_UNQUOTED):
        plain = unquote_plus(part)
        if plain == part:
            return False
        if _shows_a_person(plain):
            return True
        part = plain
    return False


class _Scrubbing:
    """`kind` is what the key above says that it holds, where it says so."""

    def __init__(self, region: str | None, *, phones: bool) -> None:
        self._region = region
        self._phones = phones

    def table(
        self, given: Mapping[str, object], among: Among, kind: Kind | None, depth: int
    ) -> dict[str, object]:
        label = None if among is Among.THINGS else _label_of(given)
        told = None if label is None else kind_of(label, among)
        kept: dict[str, object] = {}
        for key, value in given.items():
            name = f"{key}"
            if told is not None and value is label:
                kept[name] = value
                continue
            own, inside = told_by(name, among)
            if told is not None and name in _VALUES:
                own = told
            scrubbed = self._value(name, value, inside, own or kind, depth + 1)
            if scrubbed is not _NOTHING:
                kept[without_persons(name)] = scrubbed
        return _with_hashes(kept) if depth else kept

    def _value(
        self, name: str, value: object, among: Among, kind: Kind | None, depth: int
    ) -> object:
        if depth > _DEEPEST:
            return _NOTHING
        if isinstance(value, Mapping):
            # Of a place, the street alone is a person's.
            is_place = kind is Kind.NAME and is_about_people(name)
            return self.table(value, among, None if is_place else kind, depth)
        if isinstance(value, list):
            ones = [self._value(name, one, among, kind, depth + 1) for one in value]
            return [one for one in ones if one is not _NOTHING]
        if kind is not None and not isinstance(value, bool):
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, str | int):
                return self._read(name, f"{value}".strip(), kind)
        return self._text(value, among, depth) if isinstance(value, str) else value

    def _read(self, name: str, text: str, kind: Kind) -> object:
        if is_digest_key(name) and _ANY_DIGEST.fullmatch(text):
            return text
        if kind is Kind.PHONE:
            if text.lower() in _WHETHER:
                return text
            if not self._phones and not _DIGEST.fullmatch(text):
                return _NOTHING
        return _READERS[kind](text, self._region)

    def _text(self, text: str, among: Among, depth: int) -> object:
        if text.lstrip()[:1] not in {"{", "["}:
            return without_persons(text)
        twins: list[str] = []
        try:
            tree = json.loads(text, object_pairs_hook=lambda pairs: _table_of(pairs, twins))
        except (ValueError, RecursionError):
            return without_persons(text)
        scrubbed = self._value("", tree, among, None, depth + 1)
        if scrubbed is _NOTHING:
            return _NOTHING
        # What stands there twice is in the text, and not in the tree.
        is_same = scrubbed == tree and not twins
        return text if is_same else json.dumps(scrubbed, separators=(",", ":"))


def _table_of(pairs: list[tuple[str, object]], twins: list[str]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twins += table
    return table


def _label_of(given: Mapping[str, object]) -> str | None:
    if _VALUES.isdisjoint(given):
        return None
    return next((one for key in _LABELS if isinstance(one := given.get(key), str)), None)


def _with_hashes(kept: dict[str, object]) -> dict[str, object]:
    """Say a hash under Google's name for hashes, too: some templates read that one alone."""
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


def _token(found: re.Match[str]) -> str:
    token = found[0]
    if not names_a_person(token):
        return token
    cleaned = scrubbed_address(token) if _ADDRESS.fullmatch(token) else "***"
    return "***" if names_a_person(cleaned) else cleaned


def _parameter(pair: str, inside: int) -> str | None:
    """Return a parameter of an address; None where it holds a person."""
    name, _, value = pair.partition("=")
    if unquote_plus(name) in _PACKED:
        return None
    plain = unquote_plus(value)
    if inside < _MOST_UNQUOTED and _PAGE.match(plain):
        cleaned = scrubbed_address(plain, inside=inside + 1)
        pair = pair if cleaned == plain else f"{name}={quote(cleaned, safe='')}"
    return None if names_a_person(pair) else pair


def _shows_a_person(plain: str) -> bool:
    if _EMAIL.search(plain) or _PHONE.search(plain):
        return True
    return any(
        kind_of(found[1]) is not None
        and not _ANY_DIGEST.fullmatch(found[2])
        and found[2].lower() not in _WHETHER
        for found in _PAIR.finditer(plain)
    )


class _Nothing:
    """What a scrubbed value is that cannot be kept."""


_NOTHING: Final = _Nothing()
_READERS: Final[Mapping[Kind, Callable[[str, str | None], object]]] = {
    Kind.EMAIL: _email,
    Kind.PHONE: _phone,
    Kind.NAME: _name,
}
