"""Mask personal data and secrets in any text, by their form.

This covers emails, hashes, tokens, phone numbers, IP addresses (reduced to their network), values
after a sensitive name (`token=…`, `"twclid": "…"`), and parts of URLs that are not known to be
harmless. The time is proportional to the length of the text.
"""

import re
from typing import Final
from urllib.parse import unquote_plus

from twite.redaction.scrub_text import without_persons
from twite.redaction.shapes import MASK, holds_a_person
from twite.redaction.vocabulary import FieldKind, is_harmless_parameter, kind_of

_LONGEST: Final = 200
# Echoed values, from the first quotation mark or bracket to the last (a value may contain others),
# hashes and email addresses.
_ECHOED: Final = re.compile(r"""\(.*\)|".*"|[0-9A-Fa-f]{32,}|\S+@\S+""", re.DOTALL)
HIDDEN: Final = "…"
_LONGEST_STEP: Final = 40
_MOST_DIGITS: Final = 5
_LONGEST_ID: Final = 256
_SHORTEST_TOKEN: Final = 20
_TOKEN_LOOKED_AT: Final = 256
_FEWEST: Final = 8
_LONG_HALF: Final = 6
_AT: Final = re.compile(r"[^@]@[^@]|[^%]%40[^%]")
_HASH: Final = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32,}", re.ASCII)
_NUMBER_IN: Final = re.compile(r"(?<![0-9.])\+?[0-9]{9,19}(?![0-9])", re.ASCII)
_DAY: Final = re.compile(r"(?:19|20)\d\d-[01]\d-[0-3]\d", re.ASCII)
_V4: Final = re.compile(r"((?:\d{1,3}\.){3})\d{1,3}", re.ASCII)
_QUOTED: Final = re.compile(r'[^"\\]*')
_QUOTED_ONCE: Final = re.compile(r"[^'\\]*")
_UNQUOTED: Final = re.compile(r"""[^\n"',;&<>{}\[\]]*""")
_LINE: Final = re.compile(r'[^\n"]*')
_PIECES: Final = re.compile(
    r"""
      (?P<page>[a-z][a-z0-9+.-]{1,15}://[^\s"'<>\\`]+)
    | (?P<scheme>\b(?:bearer|basic|oauth|token)\ [^\s"',;]{8,})
    | (?P<named>(?<![A-Za-z0-9_.-])(?P<name>[a-z_][a-z0-9_.-]{0,59})
        \\{0,3}["']?\s{0,3}[:=]\s{0,3}\\{0,3}["']?)
    | (?<![0-9A-Za-z.])(?P<v4>(?:\d{1,3}\.){3}\d{1,3})(?![0-9]|\.[0-9])
    | (?<![0-9A-Za-z:.])(?=[0-9a-f:]{0,39}::|(?:[0-9a-f]{1,4}:){4})(?P<v6>[0-9a-f:]{3,39})
        (?![0-9A-Za-z:])
    | (?P<moment>(?:19|20)\d\d-[01]\d-[0-3]\d[t\ ][0-2]\d:[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?z?)
    | (?<![0-9A-Za-z_.])(?P<number>\+?\(?\d(?:[\s().\-/\u00a0\u2010-\u2015]{0,3}\d){7,18})
        (?![0-9A-Za-z_])
    | (?P<word>[^\s"'<>,;:()&=?/\\{}\[\]|]+)
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def masked_text(text: str, *, plain: bool = False) -> str:
    """Mask a text. With `plain`, words that look like tokens are shown: they are ids."""
    if holds_a_person(text):
        text = without_persons(text)
    shown: list[str] = []
    at = plain_until = 0
    while (found := _PIECES.search(text, at)) is not None:
        shown.append(text[at : found.start()])
        at = found.end()
        if found.lastgroup != "named":
            shown.append(_piece(found, plain=plain or at <= plain_until))
            continue
        name = found["name"]
        kind = FieldKind.ANY if name.isupper() else kind_of(name)  # error codes look like this, too
        shown.append(found["named"])
        if kind is FieldKind.ANY:
            continue
        value = _value_of(text, at, kind)
        if kind is FieldKind.PLAIN:
            plain_until = value
        elif value > at:
            shown.append(network(text[at:value]) if kind is FieldKind.ADDRESS else HIDDEN)
            at = value
    shown.append(text[at:])
    return "".join(shown)


def network(text: str) -> str:
    """Return the network of an IP address: /24, or /48 for IPv6; "" for other texts."""
    found = _V4.fullmatch(text.strip())
    if found is not None:
        return f"{found[1]}{HIDDEN}"
    return f"{':'.join(text.strip().split(':')[:3])}:{HIDDEN}" if ":" in text else HIDDEN


def masked_query(text: str) -> str:
    return "&".join(map(_parameter, text.split("&")))


def masked_path(text: str) -> str:
    return "/".join(map(_step, text.split("/")))


def masked_address(text: str) -> str:
    whole, mark, _ = text.partition("#")
    before, asked, query = whole.partition("?")
    scheme, slashes, rest = before.partition("://")
    place, slash, path = rest.partition("/")
    _, at, host = place.rpartition("@")
    shown = f"{scheme}{slashes}{f'{MASK}@' if at else ''}{_host(host)}{slash}{masked_path(path)}"
    shown += f"?{masked_query(query)}" if asked else ""
    return f"{shown}#{HIDDEN}" if mark else shown


def _host(host: str) -> str:
    return ".".join(HIDDEN if _is_token(label) else label for label in host.split("."))


def _parameter(pair: str) -> str:
    name, equals, value = pair.partition("=")
    plain = unquote_plus(name)
    shown = name if len(name) <= _LONGEST_STEP and masked_text(plain) == plain else HIDDEN
    if not equals:
        return shown
    decoded = unquote_plus(value)
    harmless = is_harmless_parameter(plain.rpartition(".")[2]) and masked_text(decoded) == decoded
    return f"{shown}={value if harmless and len(value) <= _LONGEST_STEP else HIDDEN}"


def _step(step: str) -> str:
    decoded = unquote_plus(unquote_plus(step))
    is_odd = len(decoded) > _LONGEST_STEP or (
        _MOST_DIGITS < sum(letter.isdecimal() for letter in decoded) < len(decoded)
    )
    return HIDDEN if is_odd or masked_text(decoded) != decoded else step


def _piece(found: re.Match[str], *, plain: bool) -> str:
    kind, text = found.lastgroup, found[0]
    match kind:
        case "page":
            return masked_address(text)
        case "v4" | "v6":
            return network(text)
        case "scheme":
            scheme, _, secret = text.partition(" ")
            is_secret = any(map(str.isdecimal, secret)) or len(secret) >= _SHORTEST_TOKEN
            return f"{scheme} {MASK}" if is_secret else text
        case "number":
            return MASK if _is_phone(text, plain=plain) else text
    return text if kind == "moment" else _word(text, plain=plain)


def _value_of(text: str, at: int, kind: FieldKind) -> int:
    """Return where the value after a name ends; the text may be partly JSON."""
    if kind is FieldKind.PEOPLE and text[at : at + 1] in {"{", "["}:
        return len(text)
    quote = text[at - 1 : at]
    if quote in {'"', "'"}:
        pattern = _QUOTED if quote == '"' else _QUOTED_ONCE
    else:
        pattern = _LINE if kind in {FieldKind.SECRET, FieldKind.COOKIES} else _UNQUOTED
    most = at + _LONGEST_ID if kind is FieldKind.PLAIN else len(text)
    found = pattern.match(text, at, most)
    return at if found is None else found.end()


def _word(word: str, *, plain: bool) -> str:
    decoded = unquote_plus(unquote_plus(word)) if "%" in word else word
    if _AT.search(decoded):
        return MASK
    if _HASH.search(decoded) or (not plain and _is_token(decoded)):
        return HIDDEN
    for number in _NUMBER_IN.finditer(decoded):
        if _is_phone(number[0], plain=plain):
            return MASK
    return word


def _is_token(word: str) -> bool:
    """Return whether a word looks generated: long, with both letters and digits."""
    if len(word) < _SHORTEST_TOKEN:
        return False
    head = word[:_TOKEN_LOOKED_AT]
    return any(c.isdecimal() for c in head) and any(c.isalpha() for c in head)


def _is_phone(number: str, *, plain: bool) -> bool:
    digits = "".join(c for c in number if c.isdecimal())
    if _DAY.match(number):
        return False
    if digits == number:
        is_moment = len(digits) in {10, 13, 16} and digits[0] == "1" and digits[1] in "456789"
        return not plain and len(digits) > _FEWEST and not is_moment
    whole, dot, part = number.partition(".")
    if dot and whole.isdecimal() and part.isdecimal():
        # Amounts are shown. Two long numbers, as in Google's browser ids, are hidden.
        return len(whole) >= _LONG_HALF and len(part) >= _LONG_HALF
    return True


def without_echoes(text: str) -> str:
    """Return the part of X's text that a log or a webhook may show: its beginning, on one line.

    X's responses echo submitted values in brackets or quotes [doc WEB]. The store keeps the whole
    text.
    """
    shown = _ECHOED.sub("…", text)[:_LONGEST]
    if shown.isprintable():
        return shown
    return "".join([c if c.isprintable() else "?" for c in shown])
