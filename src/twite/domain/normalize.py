"""Normalize identifiers (email, phone, click id, IP, user agent) to the form X matches on.

Email   trimmed, lower-cased, SHA-256, no salt; dots and plus tags stay [doc WEB, CM]
Phone   E.164 with its plus sign, SHA-256 [doc WEB; checked against X's vectors]
Others  trimmed, raw: click id, IP, user agent [doc WEB]

Every function returns the value, or a Fault with the reason. `visible` and `visible_line` are for
texts that are shown, such as ids.
"""

import hashlib
import ipaddress
import re
import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from twite.domain.fault import Fault, fault

MAX_EMAIL: Final = 320
MAX_PHONE: Final = 64
MAX_IP: Final = 64
MAX_USER_AGENT: Final = 2_048

# Placeholders that forms and exports write for unknown values.
PLACEHOLDERS: Final = frozenset(
    {
        "", "-", "--", "0", "?", "(none)", "(not set)", "[object object]", "false", "n/a", "na",
        "nan", "nil", "none", "not set", "null", "undefined", "unknown",
    }
)  # fmt: skip

# Regions of ISO 3166 that have phone numbers. The library has the same list, but is slow to import.
_REGIONS: Final = """
AC AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO
BQ BR BS BT BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK
DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ
GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM
KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH
PK PL PM PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR
SS ST SV SX SY SZ TA TC TD TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC
VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""
PHONE_REGIONS: Final = frozenset(_REGIONS.split())

_EMPTY_DIGEST: Final = hashlib.sha256(b"").hexdigest()
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ANY_DIGEST: Final = re.compile(
    r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128})"
)
_SHORT_DIGEST: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{128}", re.ASCII)
# A local part, labels, and a last label of letters, punycode or another script. International
# addresses stay unchanged, because X only trims and lower-cases [doc WEB]. U+FFFD stands for a
# character that was lost in decoding.
_EMAIL: Final = re.compile(
    r"""[^\s\x00-\x1f\x7f-\x9f@"(),:;<>\[\\\]\ufffd]{1,64}@"""
    r"""(?:(?![_-])[^\s\x00-,./:-@\[-^\x60{-\xa0\ufffd]{1,63}\.)+"""
    r"""(?:[a-z]{2,63}|xn--[a-z0-9-]{1,58}[a-z0-9]|[^\s\x00-\xa0\ufffd]{2,63})"""
)
# Most addresses match this, and need no other check.
_PLAIN_EMAIL: Final = re.compile(
    r"[A-Za-z0-9._+-]{1,64}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.)+[A-Za-z]{2,63}", re.ASCII
)
# str.strip() does not remove these: zero-width space and joiners, the byte-order mark, bidi marks.
_INVISIBLE: Final = dict.fromkeys(
    [0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF]
)
# Numbers that are certainly E.164, with lengths that cannot include a trunk prefix. The library
# gives the same result for each, at twenty times the cost.
_CLEAR_PHONE: Final = re.compile(
    r"\+(?:1[2-9]\d{2}[2-9]\d{6}|44[1-35-9]\d{9}|33[1-9]\d{8}|34[6-9]\d{8}|91[6-9]\d{9}|61[2-478]\d{8}"
    r"|491[5-7]\d{8,9}|393\d{8,9}|316\d{8}|324\d{8}|3519\d{8}|3538[3-9]\d{7}|417[5-9]\d{7}"
    r"|436[5-9]\d{7,10}|45[2-9]\d{7}|467[02369]\d{7}|47[49]\d{7}|48[4-8]\d{8}|55[1-9]{2}9\d{8}"
    r"|81[7-9]0\d{8}|8210\d{8})",
    re.ASCII,
)
_PHONE_CHARACTERS: Final = re.compile(r"[\d\s().+/\-\u2010-\u2015\uff0b\uff0dxX#,;=a-zA-Z:]+")
_INTERNATIONAL: Final = re.compile(r"[\s(]*(?:tel:)?[\s(]*[+\uff0b]")
_BROWSER_ID: Final = re.compile(r"tw\.[A-Za-z0-9._-]{1,128}", re.ASCII)
# The cookie `_twite`: a version, the time of the click, the click id.
_OUR_COOKIE: Final = re.compile(r"1\.[0-9]{1,15}\.([A-Za-z0-9_-]{1,512})", re.ASCII)
_CLICK_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,512}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Not Python's `is_private`: that also covers the ranges reserved for documentation.
_PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
        "::/127", "fc00::/7", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_DOTTED: Final = re.compile(rf"({_OCTET})\.{_OCTET}\.{_OCTET}\.{_OCTET}", re.ASCII)
# First octets that belong to no private range. The library gives the same result for each address,
# at fifteen times the cost.
_PUBLIC_FIRST: Final = frozenset(map(str, range(1, 224))) - {
    "10",
    "100",
    "127",
    "169",
    "172",
    "192",
}
# 2000::/3 in the canonical spelling, with all groups. Two groups of zeros are spelled "::".
_GLOBAL_IPV6: Final = re.compile(r"[23][0-9a-f]{3}(?::(?:0|[1-9a-f][0-9a-f]{0,3})){7}")


def email_digest(text: str, *, path: str) -> str | Fault:
    """Return the digest of an email. The input may already be its SHA-256."""
    if len(text) <= MAX_EMAIL and _PLAIN_EMAIL.fullmatch(text):
        return hashlib.sha256(text.lower().encode()).hexdigest()
    plain = text.strip().lower()
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", plain.translate(_INVISIBLE).strip())
    if len(plain) > MAX_EMAIL or _EMAIL.fullmatch(plain) is None:
        if _DIGEST.fullmatch(plain):
            return digest(plain, path=path)
        if _SHORT_DIGEST.fullmatch(plain):
            return fault(path, "not_sha256", "this looks like a hash other than SHA-256")
        return fault(path, "email_unusable")
    return hashlib.sha256(plain.encode()).hexdigest()


def phone_digest(text: str, *, region: str | None, path: str) -> str | Fault:
    """Return the digest of a phone number.

    The input may already be its SHA-256. `region` (ISO 3166, such as "GB") applies to numbers
    without a country code; it is never guessed.
    """
    if _CLEAR_PHONE.fullmatch(text):
        return hashlib.sha256(text.encode()).hexdigest()
    plain = text.strip()
    if _ANY_DIGEST.fullmatch(plain):
        return digest(plain, path=path)
    number = e164(plain, region)
    if number.startswith("+"):
        return hashlib.sha256(number.encode()).hexdigest()
    return fault(path, number)


def e164(text: str, region: str | None) -> str:
    """Return `+` and digits, or the fault code phone_unusable or phone_needs_region."""
    # Not a phone number. The length is limited because results are cached.
    return _e164(text, region) if len(text) <= 2 * MAX_PHONE else "phone_unusable"


@lru_cache(maxsize=16_384)
def _e164(text: str, region: str | None) -> str:
    text = text.translate(_INVISIBLE).strip()
    if not text or len(text) > MAX_PHONE or not _PHONE_CHARACTERS.fullmatch(text):
        return "phone_unusable"
    # In most of the world, 00 is the prefix of international calls; no E.164 number begins with it.
    if re.match(r"00\s*[1-9]", text):
        text = "+" + text[2:].lstrip()
    national = not _INTERNATIONAL.match(text)
    if region is None and national:
        digits = sum(character.isdigit() for character in text)
        return (
            "phone_needs_region"
            if 7 <= digits <= 15 and not re.search(r"[a-z]", text)
            else "phone_unusable"
        )
    import phonenumbers  # noqa: PLC0415  # a tenth of the start time, and few phones need it

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return "phone_unusable"
    reason = phonenumbers.is_possible_number_with_reason(number)
    # Forms are often filled with zeros only.
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE or not number.national_number:
        return "phone_unusable"
    # A region is an assumption: by its length alone, (806) 555-0185 would be a valid British
    # number.
    if national and not phonenumbers.is_valid_number(number):
        return "phone_unusable"
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def digest(text: str, *, path: str) -> str | Fault:
    """Read a SHA-256 digest, in upper or lower case, without hashing it again."""
    plain = text.strip().lower()
    if not _DIGEST.fullmatch(plain):
        if _SHORT_DIGEST.fullmatch(plain):
            return fault(
                path,
                "not_sha256",
                f"{len(plain)} hexadecimal digits are not a SHA-256 hash, which has 64",
            )
        return fault(path, "not_sha256")
    if plain == _EMPTY_DIGEST:
        return fault(path, "hash_of_nothing")
    return plain


def click_id(text: str, *, path: str) -> str | Fault:
    """Read a click id: raw, in a landing URL, or in a cookie (`_twite`, X's JSON, raw)."""
    plain = text.strip()
    if _CLICK_ID.fullmatch(plain) and plain.lower() not in PLACEHOLDERS:
        return plain
    ours = _OUR_COOKIE.fullmatch(plain)
    if ours is not None:
        return ours[1]
    # Tried unchanged first, because an escape may contain a second parameter of that name.
    for spelling in dict.fromkeys((plain, unquote(plain))):
        if spelling.startswith("{"):
            found = _click_id_of_cookie(spelling)
        else:
            found = click_id_of_url(spelling if "?" in spelling else f"?{spelling}")
        if found is not None:
            return found
    return fault(path, "twclid_unusable")


def click_id_of_url(url: str) -> str | None:
    if "twclid=" not in url:
        return None
    try:
        values = parse_qs(urlsplit(url).query, max_num_fields=1_000).get("twclid", [])
    except ValueError:
        return None
    for value in values:
        if _CLICK_ID.fullmatch(value) and value.lower() not in PLACEHOLDERS:
            return value
    return None


def browser_id(text: str, *, path: str) -> str | Fault:
    """Read the value of X's cookie `_twpid`, such as `tw.1764071000000.123456789012345678`."""
    plain = text.strip()
    return plain if _BROWSER_ID.fullmatch(plain) else fault(path, "twpid_unusable")


def ip_address(text: str, *, path: str) -> str | Fault:
    """Read a public IPv4 or IPv6 address.

    An IPv4-mapped address becomes IPv4. X documents dotted IPv4; IPv6 [unknown] is passed on.
    """
    if len(text) > MAX_IP:
        return fault(path, "ip_unusable")
    dotted = _DOTTED.fullmatch(text)
    if dotted is not None and dotted[1] in _PUBLIC_FIRST:
        return text
    if _GLOBAL_IPV6.fullmatch(text) and ":0:0" not in text:
        return text
    found = _public_address(text)
    return fault(path, found) if found.startswith("ip_") else found


def is_private_address(text: str) -> bool:
    """Return True for an IP address that belongs to a network, not to a person: 10.0.0.1, ::1."""
    return len(text) <= MAX_IP and _public_address(text) == "ip_private"


def user_agent(text: str, *, path: str) -> str | Fault:
    """Read a user agent: trimmed, without control characters, of limited length."""
    plain = text.strip()
    if (
        not 0 < len(plain) <= MAX_USER_AGENT
        or "@" in plain
        or (not plain.isprintable() and _CONTROL.search(plain))
        or plain.lower() in PLACEHOLDERS
    ):
        return fault(path, "user_agent_unusable")
    return plain


@lru_cache(maxsize=16_384)
def _public_address(text: str) -> str:
    """Return the address in its canonical spelling, or the code of the fault."""
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return "ip_unusable"
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "ip_unusable"
        address = address.ipv4_mapped or address
    if any(address in network for network in _PRIVATE):
        return "ip_private"
    return str(address)


class _ClickCookie(msgspec.Struct, frozen=True):
    twclid: str = ""


def _click_id_of_cookie(text: str) -> str | None:
    """X's pixel keeps `{"pixelVersion":…,"timestamp":…,"twclid":…,"source":…}`. [seen 3P]"""
    try:
        cookie = msgspec.json.decode(text, type=_ClickCookie)
    except (msgspec.DecodeError, RecursionError):
        return None
    usable = _CLICK_ID.fullmatch(cookie.twclid) and cookie.twclid.lower() not in PLACEHOLDERS
    return cookie.twclid if usable else None


def visible(text: str) -> str:
    """Escape invisible and bidirectional characters as JSON does; keep line breaks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def visible_line(text: str) -> str:
    """Do as `visible`, and escape line breaks, too."""
    return visible(text).replace("\n", "\\n")


def _escaped(c: str) -> str:
    return msgspec.json.encode(c).decode()[1:-1] if ord(c) < 0x20 else f"\\u{ord(c):04x}"
