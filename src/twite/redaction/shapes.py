"""Recognize emails and phone numbers: plain, escaped, or in base64.

A text is searched at most twice: unchanged, and decoded by `reading`. Both take time in proportion
to its length. Texts longer than MOST_READ are not searched.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from twite.redaction.phones import phones_in

MASK: Final = "***"
# A hash: hexadecimal digits of any usual length, or a SHA-256 in base64.
ANY_DIGEST: Final = re.compile(r"[0-9a-fA-F]{32,128}|[A-Za-z0-9+/_-]{43}=?", re.ASCII)
# Texts with more characters are not searched, and count as personal data. Usual URLs and
# descriptions have a tenth of that length.
MOST_READ: Final = 16 * 1024
# The maximum nesting of escapes.
MOST_UNQUOTED: Final = 5
_URL_ALPHABET: Final = bytes.maketrans(b"+/", b"-_")
_SIGNS: Final = (b"@", b"+", b"%", b"&")
_LAST_CODE: Final = 0x10FFFF
_ESCAPE: Final = re.compile(
    r"""
      [\\%]u(?P<code>[0-9A-Fa-f]{4}) | \\x(?P<byte>[0-9A-Fa-f]{2})
    | \\(?P<sign>["'/\\]) | \\(?P<blank>[bfnrt])
    | &\#0{0,8}(?P<decimal>[0-9]{1,7});? | &\#[xX]0{0,8}(?P<hex>[0-9A-Fa-f]{1,6});?
    | &(?P<named>[A-Za-z]{1,24});
    """,
    re.VERBOSE,
)
_INVISIBLE: Final = re.compile(r"[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# No-break blanks around an at sign. Without a limit, the time for many blanks would be quadratic.
_BLANK_AT: Final = re.compile(r"[\u00a0\u2007\u202f]{0,3}[@\uff20][\u00a0\u2007\u202f]{0,3}")
# In an item of a GA4 hit, a key directly precedes its value: `pr1=idSKU-1~nmMug`.
_ITEM_KEY: Final = re.compile(r"(?:~|\bpr[0-9]{1,3}=)(?:[kv][0-9]{1,3}|[a-z][a-z0-9])")
_ESCAPED_ESCAPE: Final = re.compile(r"(?P<sign>\\)\\+|(?P<and>&)(?:amp;)+")
_ESCAPED_PERCENT: Final = re.compile(r"%(?:25)+(?=[0-9A-Fa-f]{2})")
_OTHER_DIGIT: Final = re.compile(r"(?![0-9])\d")
# An email begins where a word begins. Without the lookbehind, a search would start at each letter,
# and the time for a long word would be quadratic: a minute for 64 kB. The domain ends in letters:
# `i7@3.40GHz`, `order@1.2`, `logo@2x.png` and `pkg@1.2/x.js` are not emails.
_EMAIL: Final = re.compile(
    r"""
    (?:"[^"@\n]{1,64}"|(?<![^\s@])[^\s@]*[^\s@/:])@(?!\d(?:\.\d)?x\.(?:png|jpe?g|webp|gif|svg|avif)\b)
    (?:[^\s@/]+?\.(?=[^\W\d_]{2})|\[)\S*
    """,
    re.VERBOSE,
)
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{10,}={0,2}", re.ASCII)
_SEPARATOR: Final = re.compile(r"[+/_-]+")
_BREAKS: Final = re.compile(r"[\t\r\n]")
_SHORT_TEXT: Final = 100
_SHORTEST: Final = 6  # an email: a@b.co
_SHORTEST_CODED: Final = 10
# The form of most ids: a name in lower case, then a number; or a short number alone.
_PLAIN: Final = re.compile(r"[a-z][a-z_-]*[0-9]*|[0-9]{1,9}")
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{10}")


def may_hold_a_person(text: str) -> bool:
    """Return False only for a text without personal data: a fast first check."""
    if len(text) < _SHORTEST or _PLAIN.fullmatch(text):
        return False
    if "@" in text or "+" in text or "%" in text or "(" in text or ":" in text:
        return True
    if "&" in text or "\\" in text or (not text.isascii() and not _is_spelled_plainly(text)):
        return True
    # The base64 of a text with an @, or with a plus at its beginning, has a capital letter.
    if len(text) >= _SHORTEST_CODED and not text.islower() and _RUN.search(text) is not None:
        return True
    return next(phones_in(text), None) is not None


def shows_a_person(text: str) -> bool:
    if "@" in text and _EMAIL.search(text):
        return True
    return next(phones_in(text), None) is not None or _in_base64(text)


def holds_a_person(text: str) -> bool:
    """Return whether a text contains personal data: plain, escaped, or in base64."""
    if not may_hold_a_person(text):
        return False
    if len(text) > MOST_READ or shows_a_person(text):
        return True
    said = reading(text)
    return said is None or (said != text and shows_a_person(said))


def reading(text: str) -> str | None:
    """Return a text with its escapes decoded, including nested ones.

    Decodes percent-encoding, HTML entities, escapes of JSON and JavaScript, and unusual forms of
    letters and digits (full-width, or with invisible characters in between). Returns None if the
    escapes are nested too deeply.
    """
    longest = 2 * len(text) + _SHORT_TEXT  # one letter may expand to eighteen characters
    for _ in range(MOST_UNQUOTED + 1):
        plain = _decoded(text)
        if plain == text:
            return text
        if len(plain) > longest:
            return None
        text = plain
    return None


def masked_plain(text: str) -> str:
    text = _EMAIL.sub(MASK, text)
    kept: list[str] = []
    at = 0
    for start, end in phones_in(text):
        kept += (text[at:start], MASK)
        at = end
    return "".join((*kept, text[at:]))


def masked_base64(text: str) -> str:
    return _BASE64.sub(lambda found: MASK if _says_a_person(found[0]) else found[0], text)


def _in_base64(text: str) -> bool:
    return any(_says_a_person(found[0]) for found in _BASE64.finditer(text))


def _says_a_person(word: str) -> bool:
    return any(map(_reads_as_a_person, _readings(word)))


def _reads_as_a_person(packed: str) -> bool:
    try:
        decoded = binascii.a2b_base64(packed + "=" * (-len(packed) % 4))
        # Random ids decode to bytes that are not text.
        if not any(sign in decoded for sign in _SIGNS):
            return False
        text = _decoded(decoded.decode())
    except ValueError:
        return False
    if not _BREAKS.sub(" ", text).isprintable():
        return False
    return _EMAIL.search(text) is not None or next(phones_in(text), None) is not None


def _readings(word: str) -> Iterator[str]:
    """Yield what may be base64 in a word: the whole word, and its parts.

    Some characters of the base64 alphabet may also separate words: `/u/ZXJp…`, `order_ZXJp…`.
    """
    word = word.rstrip("=")
    yield word.replace("-", "+").replace("_", "/")
    for part in _SEPARATOR.split(word):
        if part != word and len(part) >= _SHORTEST_CODED:
            yield part


def _decoded(text: str) -> str:
    """Decode once, and the same escape within itself (`%252540`) at any depth.

    All ways to write a text as part of another are known here, and only here.
    """
    if "\\" in text or "&" in text or "%u" in text:
        text = _ESCAPE.sub(_unescaped, _ESCAPED_ESCAPE.sub(r"\g<sign>\g<and>", text))
    if "%" in text:
        text = _ESCAPED_PERCENT.sub("%", text)
        if "+" in text and "%2b" in text.lower():
            # A form: its blanks are plus signs, because its plus signs are escaped.
            text = text.replace("+", " ")
        text = unquote(text)
    if "~" in text or "pr" in text:
        text = _ITEM_KEY.sub("; ", text)
    return text if text.isascii() else _spelled_plainly(text)


def _unescaped(found: re.Match[str]) -> str:
    if found["named"]:
        from html.entities import html5  # noqa: PLC0415 # few texts need its 2,000 names

        return html5.get(f"{found['named']};", found[0])
    if found["sign"]:
        return found["sign"]
    if found["blank"]:
        return " "
    number = found["code"] or found["byte"] or found["hex"]
    code = int(number, 16) if number else int(found["decimal"])
    return chr(code) if code <= _LAST_CODE else found[0]


def _is_spelled_plainly(text: str) -> bool:
    if not unicodedata.is_normalized("NFKC", text):
        return False
    return _INVISIBLE.search(text) is None and _OTHER_DIGIT.search(text) is None


def _spelled_plainly(text: str) -> str:
    """Replace unusual forms of letters, digits and punctuation with the plain ones."""
    text = _BLANK_AT.sub("@", _INVISIBLE.sub("", text))
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    text = text.replace("\u3002", ".").replace("\u2212", "-")
    return _OTHER_DIGIT.sub(lambda found: f"{unicodedata.decimal(found[0])}", text)


def base64_parts(secret: bytes) -> set[bytes]:
    """Return the parts of a secret that its base64 form always contains, in either alphabet.

    base64 encodes groups of three bytes, so there are three forms: the secret may begin at each
    position of a group. The letters at its ends are left out, because they also depend on the
    neighboring text.
    """
    texts = set()
    for before in range(3):
        packed = base64.b64encode(bytes(before) + secret)
        # Only the letters that depend on nothing but the secret: four letters encode three bytes.
        shown = packed[(4 * before + 2) // 3 : 4 * (before + len(secret)) // 3]
        texts |= {shown, shown.translate(_URL_ALPHABET)}
    return texts
