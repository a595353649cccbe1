"""Event data without persons: emails, phone numbers and names as SHA-256, in the places they had.

Public templates look whether a text is 64 hexadecimal digits, and pass such a one on as it is: they
send the same as if they had hashed it themselves.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote_plus

from twite.domain import normalize
from twite.domain.fault import Fault

# The last part of a place, however deep it lies: Google's names, Stape's, and hand-made ones.
_EMAILS: Final = frozenset(
    {"email", "email_address", "emailAddress", "userEmail", "user_email", "mail", "em"}
)
_PHONES: Final = frozenset(
    {"phone", "phone_number", "phoneNumber", "userPhoneNumber", "user_phone", "telephone", "ph"}
)
_NAMES: Final = frozenset(
    {
        "first_name", "firstName", "userFirstName", "last_name", "lastName", "userLastName",
        "surname", "family_name", "familyName", "street", "street_address",
    }
)  # fmt: skip
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_EMAIL: Final = re.compile(r"(?<![^\s@])[^\s@]+@[^\s@]+\.[^\s@]+")
_ESCAPED: Final = re.compile(r"@|%40", re.IGNORECASE)
_PHONE: Final = re.compile(r"\+[1-9][\d\s().-]{7,20}", re.ASCII)
# What is nested deeper than any event is cut off.
_DEEPEST: Final = 32


def scrubbed_event(event: Mapping[str, object], *, region: str | None) -> dict[str, object]:
    """Return the event; `region` is how to read a phone number without a country code.

    An email or phone number that cannot be read is left out. In other texts an email becomes `***`;
    of an address, the parameters that hold one are left out.
    """
    kept = {name: _scrubbed(name, value, region, 0) for name, value in event.items()}
    return {name: value for name, value in kept.items() if value is not _NOTHING}


def without_persons(text: str) -> str:
    """Return a text with `***` for emails; an address of a page without parameters of persons."""
    if not _ESCAPED.search(text) and "+" not in text and "%2b" not in text.lower():
        return text
    if text.startswith(("http://", "https://")):
        return scrubbed_address(text)
    return _EMAIL.sub("***", text)


def scrubbed_address(text: str) -> str:
    """Return an address of a page without the parameters that hold an email or a phone number."""
    whole, hashed, fragment = text.partition("#")
    before, mark, query = whole.partition("?")
    parameters = [one for one in query.split("&") if not _holds_a_person(one)]
    path = "/".join("-" if _holds_a_person(one) else one for one in before.split("/"))
    tail = f"#{fragment}" if hashed and not _holds_a_person(fragment) else ""
    return f"{path}{mark if parameters and mark else ''}{'&'.join(parameters)}{tail}"


def _scrubbed(name: str, value: object, region: str | None, depth: int) -> object:
    if depth > _DEEPEST:
        return _NOTHING
    if isinstance(value, Mapping):
        kept = {
            key: _scrubbed(f"{key}".rpartition(".")[2], one, region, depth + 1)
            for key, one in value.items()
        }
        return _with_hashes({key: one for key, one in kept.items() if one is not _NOTHING})
    if isinstance(value, list):
        ones = [_scrubbed(name, one, region, depth + 1) for one in value]
        return [one for one in ones if one is not _NOTHING]
    last = name.rpartition(".")[2]
    read = _READERS.get(last)
    if read is not None and isinstance(value, str | int):
        return read(str(value).strip(), region)
    return without_persons(value) if isinstance(value, str) else value


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
    return hashlib.sha256(text.lower().encode()).hexdigest()


def _or_nothing(read: str | Fault) -> object:
    return read if isinstance(read, str) else _NOTHING


def _holds_a_person(part: str) -> bool:
    for plain in (unquote_plus(part), part.replace("%2B", "+").replace("%2b", "+")):
        if _EMAIL.search(plain) or _PHONE.search(plain):
            return True
    return False


class _Nothing:
    """What a scrubbed value is that cannot be kept."""


_NOTHING: Final = _Nothing()
_READERS: Final[Mapping[str, Callable[[str, str | None], object]]] = {
    **dict.fromkeys(_EMAILS, _email),
    **dict.fromkeys(_PHONES, _phone),
    **dict.fromkeys(_NAMES, _name),
}
