"""Which keys of event data hold a person: by what they are called, and where they stand.

A key counts in any spelling (`fullName`, `full_name`, `FULL-NAME`) and with whose it is before it
(`billing_first_name`, `customerPhone`). Some words name a person in some places alone: a `name` is
one at the top of an event and among what is told of a person, and none in an item or a promotion.
"""

import re
from enum import StrEnum, auto
from functools import lru_cache
from typing import Final


class Kind(StrEnum):
    """What a key holds."""

    EMAIL = auto()
    PHONE = auto()
    NAME = auto()  # of a person, of a street; a day of birth: hashed as it is written


class Among(StrEnum):
    """What a key stands among."""

    EVENT = auto()  # at the top of an event
    PERSON = auto()  # in `user_data` and the like, however deep
    THINGS = auto()  # in an item, a promotion, or what nobody knows


def told_by(key: str, among: Among = Among.EVENT) -> tuple[Kind | None, Among]:
    """Return what the key holds, and what that which stands below it stands among.

    Of a dotted one the last part counts; the others say where it stands.
    """
    return _told(key[-_LONGEST:], among)


def kind_of(key: str, among: Among = Among.EVENT) -> Kind | None:
    """Return what the key holds."""
    return _told(key[-_LONGEST:], among)[0]


def is_about_people(key: str) -> bool:
    """Return whether what a key holds is told of a person, as `user_data` and `billing_address`."""
    return _told(key[-_LONGEST:].rpartition(".")[2], Among.THINGS)[1] is Among.PERSON


def is_digest_key(key: str) -> bool:
    """Return whether a key says that it holds a hash, as `sha256_email_address`."""
    return _HASHED.search(_plain(key[-_LONGEST:].rpartition(".")[2])) is not None


# What is remembered must have an end.
_LONGEST: Final = 128
_EMAILS: Final = frozenset({"email", "emails", "emailaddress", "mail", "mailaddress", "correo"})
_PHONES: Final = frozenset(
    {
        "phone", "phones", "phoneno", "phonenum", "phonenumber", "phonenumbers", "telephone",
        "telephonenumber", "telno", "telnumber", "mobilephone", "mobilephonenumber",
        "mobilenumber", "mobileno", "cellphone", "cellphonenumber", "cellnumber", "msisdn",
        "tel", "fax", "whatsapp", "whatsappnumber", "faxnumber", "telefon", "telefono",
        "telefonnummer",
    }
)  # fmt: skip
_NAMES: Final = frozenset(
    {
        "firstname", "fname", "forename", "givenname", "lastname", "lname", "surname",
        "familyname", "middlename", "maidenname", "fullname", "displayname", "nickname",
        "vorname", "nachname", "prenom", "apellido", "apellidos", "cognome",
        "street", "streetaddress", "streetname", "streetnumber", "housenumber", "address",
        "addressline", "addr", "strasse",
        "birthday", "birthdate", "birthyear", "dateofbirth", "yearofbirth", "dob", "geburtsdatum",
    }
)  # fmt: skip
# One of a person where persons or events are told of; an item has `ln` for a line.
_SHORT: Final = {
    "em": Kind.EMAIL,
    **dict.fromkeys(("ph", "mobile", "cell", "handy"), Kind.PHONE),
    **dict.fromkeys(("fn", "ln", "name"), Kind.NAME),
}
# Whose it is, before what it is.
_WHOSE: Final = (
    "applicant", "attendee", "billing", "buyer", "cardholder", "client", "contact",
    "customer", "delivery", "guest", "holder", "home", "lead", "member", "parent", "passenger",
    "patient", "payer", "person", "primary", "profile", "recipient", "secondary", "sender",
    "shipping", "shopper", "student", "subscriber", "traveler", "traveller", "user", "visitor",
    "work", "your",
)  # fmt: skip
_HASHED: Final = re.compile(r"^(?:sha256|hashed)|(?:sha256|hashed|hash)$")
_PEOPLE: Final = frozenset(
    {*_WHOSE, *(f"{one}s" for one in _WHOSE), "address", "addresses", "people", "persons"}
    | {"contacts", "identity", "traits", "userproperties", "xgamp2userproperties"}
) - {"client", "clients", "home", "homes", "work", "works"}
_OF_PEOPLE: Final = re.compile(r"(?:data|info|details|properties|address|provideddata)$")
# What holds what an event holds.
_EVENTS: Final = frozenset(
    {"data", "datalayer", "eventdata", "fields", "form", "formdata", "formfields", "params"}
    | {"enhancedconversiondata", "eventmodel", "body", "payload", "ep", "epn", "up", "upn"}
)
_THINGS: Final = re.compile(r"^(?:line)?(?:items?|products?|contents?|promotions?|impressions?)$")
_WORDS: Final = re.compile(r"[^a-z0-9]+")


def _plain(key: str) -> str:
    return _WORDS.sub("", key.lower())


@lru_cache(maxsize=8_192)
def _told(key: str, among: Among) -> tuple[Kind | None, Among]:
    *before, last = key.split(".")
    for step in before:
        among = _within(step, among)
    found, is_short = _kind(last)
    nobodys = is_short and among is Among.THINGS
    return None if nobodys else found, _within(last, among)


def _within(step: str, among: Among) -> Among:
    told = _place(step)
    if told is not None:
        return told
    return Among.THINGS if among is Among.EVENT and not step.isdigit() else among


def _kind(key: str) -> tuple[Kind | None, bool]:
    """Return the kind, and whether it holds in some places alone."""
    plain = _HASHED.sub("", _plain(key)).rstrip("0123456789")
    if plain in _SHORT:
        return _SHORT[plain], True
    found = _core(plain)
    while found is None:
        whose = next((one for one in _WHOSE if plain.startswith(one) and plain != one), None)
        if whose is None:
            break
        plain = plain.removeprefix(whose)
        # With whose it is, a short word is as clear as a long one: `customer_name`, `user_mobile`.
        found = _core(plain) or _SHORT.get(plain)
    return found, False


def _core(plain: str) -> Kind | None:
    if plain in _EMAILS:
        return Kind.EMAIL
    if plain in _PHONES:
        return Kind.PHONE
    return Kind.NAME if plain in _NAMES else None


def _place(key: str) -> Among | None:
    plain = _plain(key)
    if _THINGS.match(plain):
        return Among.THINGS
    if plain in _EVENTS:
        return Among.EVENT
    told = plain in _PEOPLE or _OF_PEOPLE.sub("", plain) in _PEOPLE
    return Among.PERSON if told else None
