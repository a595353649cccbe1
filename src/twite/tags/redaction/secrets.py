"""Find likely secrets in texts: known formats, and words that look random.

`{{names}}` in a text are ignored. In case of doubt, a text counts as a secret. Ids of pixels and
streams, UUIDs, images and long event names do not count.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, quote_plus

import msgspec

from twite.domain.secret import Secret
from twite.redaction.shapes import MASK, base64_parts, holds_a_person
from twite.redaction.vocabulary import promises_secret
from twite.tags.json_tree import Tree

# References to variables, as in `{{name}}`.
_NAMES: Final = re.compile(r"\{\{[^{}]+\}\}")
_CODE: Final = re.compile(r"[A-Za-z0-9+/_=.~|-]{20,}", re.ASCII)
# A secret access key: its slashes split it into parts that could be names. A key without slashes is
# recognized by its randomness.
_OF_AMAZON: Final = re.compile(
    r"(?<![A-Za-z0-9/+])(?=[A-Za-z0-9]*[/+])(?=[A-Z/+0-9]*[a-z])(?=[a-z/+0-9]*[A-Z])"
    r"(?=[A-Za-z/+]*\d)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"
)
_SEPARATORS: Final = re.compile(r"[^A-Za-z0-9]+")
_URL: Final = re.compile(r"https?://[^\s/?#\"'<>\\]*([^\s\"'<>\\]*)", re.IGNORECASE)
_IN_QUERY: Final = re.compile(r"[?&]([\w.-]+)=([^&#\s\"'<>\\`]+)")
# In random characters, few parts look like words. Names consist of words, and their digits are
# adjacent. The bounds were measured on both: the tests generate random texts and list names.
_LIKE_WORDS: Final = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_VOWEL: Final = re.compile(r"[aeiouyAEIOUY]")
_SHORTEST: Final = 20
_SHORTEST_KNOWN: Final = 8
_SHORTEST_WORDS: Final = 12  # of a secret that lacks digits or letters
_SHORTEST_ENCODED: Final = 8
_UNESCAPED: Final = ("", "/", "-_.!~*'()", ";,/?:@&=+$-_.!~*'()#")  # Python's and JavaScript's
_LONG: Final = 40
_LEAST_ENTROPY: Final = 3.3
_MOST_FIGURES: Final = 0.75
_MOST_IN_WORDS: Final = 0.55
_RUNS_OF_FIGURES: Final = 3
_MANY_CHANGES: Final = 0.48
_HARMLESS: Final = re.compile(
    r"""
    data:[\w.+/-]+;base64,[A-Za-z0-9+/=]*  # a picture
    | (?<![0-9A-Za-z])(?<!\bpat-[a-z]{2}\d-)  # a UUID that is not a HubSpot token
      [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9A-Za-z])
    | \bAW-\d+(?:/[\w-]+)?  # Google Ads: a conversion and its label
    | \bprojects/[\w-]+/[\w./-]+  # the name of a thing in Google's cloud
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SHAPES: Final = re.compile(
    r"""
    -----BEGIN[A-Z ]*PRIVATE\ KEY-----(?:[\s\S]*?-----END[A-Z ]*-----|[\s\S]*)
    | \beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}  # a JSON web token
    | \bEAA[A-Za-z0-9]{16,}  # Meta
    | (?<!\d)\d{12,20}\|[A-Za-z0-9_-]{20,}  # Meta, of an app
    | \b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{8,} | \bwhsec_[A-Za-z0-9]{16,}  # Stripe
    | \bxox[a-z]-[A-Za-z0-9-]{10,} | \bgh[a-z]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
    | \bglpat-[\w-]{16,} | \bshp[a-z]{2}_[0-9a-fA-F]{20,} | \bSG\.[\w-]{16,}\.[\w-]{16,}
    | \bAIza[\w-]{30,} | \bya29\.[\w-]{16,} | \bGOCSPX-[\w-]{16,}  # Google
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b  # Amazon
    | \bpat-[a-z]{2}\d-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}  # HubSpot
    | \bhooks\.slack\.com/(?:services|workflows|triggers)/[^\s"'<>\\]+
    | \bdiscord(?:app)?\.com/api/webhooks/[^\s"'<>\\]+
    | \bhooks\.zapier\.com/hooks/[^\s"'<>\\]+ | \bwebhook\.office\.com/[^\s"'<>\\]+
    | \bapi\.telegram\.org/bot\d+:[\w-]+
    | ://[^/?\#\s"'@:]*:[^/?\#\s"'@]+@  # a login in an address
    | (?i:\b(?:Bearer|Token)[ ]+)(?=\S*\d|\S{24})[\w.~+/=|-]{8,}
    | (?i:\bBasic[ ]+)(?=\S*(?:\d|[a-z][A-Z]))[\w+/=-]{8,}
    | (?<![0-9A-Za-z])(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{32,}(?![0-9A-Za-z])
    | (?<![0-9A-Za-z])(?=\d*[A-F])(?=[A-F]*\d)[0-9A-F]{32,}(?![0-9A-Za-z])
    """,
    re.VERBOSE,
)


def looks_secret(text: str) -> bool:
    return next(secrets_in(text), None) is not None


def is_confidential(text: str) -> bool:
    return looks_secret(text) or holds_a_person(text)


def secrets_in(text: str) -> Iterator[str]:
    for piece in _NAMES.split(text):
        rest = _HARMLESS.sub(" ", piece)
        for found in _SHAPES.finditer(rest):
            yield found[0]
        rest = _SHAPES.sub(" ", rest)
        for found in _IN_QUERY.finditer(rest):
            if promises_secret(found[1]):
                yield found[2]
        codes = _URL.sub(_steps, rest)
        for found in _CODE.finditer(codes):
            if _is_random(found[0]):
                yield found[0]
        for found in _OF_AMAZON.finditer(codes):
            yield found[0]


def masked(text: str) -> str:
    for secret in sorted(set(secrets_in(text)), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def without_secrets(event: Mapping[str, Tree], secrets: Iterable[Secret]) -> Mapping[str, Tree]:
    """Return an event without these known secrets; the same object if it has none.

    Short secrets may also be ids or words, so these are not removed: numbers, secrets of fewer than
    eight characters, and secrets of fewer than twelve that lack digits or letters.
    """
    texts = [secret.reveal() for secret in secrets]
    keys = {spelling for text in texts if _is_key(text) for spelling in spellings(text)}
    hidden = sorted(keys, key=len, reverse=True)
    if not hidden:
        return event
    encoded = msgspec.json.encode(event)
    # Searching bytes is fast, even in a large event.
    if not any(msgspec.json.encode(text)[1:-1] in encoded for text in hidden):
        return event
    copy: dict[str, Any] = msgspec.json.decode(encoded)
    waiting: list[Any] = [copy]
    while waiting:
        node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for place, value in list(items):
            if isinstance(value, dict | list):
                waiting.append(value)
            elif isinstance(value, str):
                node[place] = _without(value, hidden)
            if isinstance(place, str) and (name := _without(place, hidden)) != place:
                node[name] = node.pop(place)
    return copy


@lru_cache(maxsize=1_000)
def spellings(secret: str) -> frozenset[str]:
    """Return a secret and its usual encodings: percent-encoded, escaped in JSON, base64, hex."""
    raw = secret.encode("utf-8", "replace")
    texts = [
        *(quote(raw, safe=safe) for safe in _UNESCAPED),
        quote_plus(raw),
        msgspec.json.encode(secret).decode()[1:-1],
        json.dumps(secret)[1:-1],
        raw.hex(),
        raw.hex().upper(),
        *(part.decode() for part in base64_parts(raw)),
    ]
    return frozenset((secret, *(text for text in texts if len(text) >= _SHORTEST_ENCODED)))


def _is_key(text: str) -> bool:
    if text.isdigit() or len(text) < _SHORTEST_KNOWN:
        return False
    is_mixed = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
    return is_mixed or len(text) >= _SHORTEST_WORDS


def _without(text: str, hidden: Iterable[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, MASK)
    return text


def _steps(url: re.Match[str]) -> str:
    """Return the parts of a URL that may hold a secret: path segments and parameter values."""
    return " " + re.sub(r"[/?&=#;]", " ", url[1])


def _is_random(code: str) -> bool:
    if "/" in code and code == code.lower():
        return any(_is_random(part) for part in code.split("/"))
    return any(_in_no_language(part) for part in (code, *re.split(r"[^A-Za-z0-9]+", code)))


def _in_no_language(code: str) -> bool:
    """Return whether letters and digits look random, not like a name."""
    signs = _SEPARATORS.sub("", code)
    length = len(signs)
    if length < _SHORTEST or _entropy(signs) < _LEAST_ENTROPY:
        return False
    figures = sum(sign.isdigit() for sign in signs)
    if figures > length * _MOST_FIGURES:
        return False
    kinds = ["0" if sign.isdigit() else "A" if sign.isupper() else "a" for sign in signs]
    if len({*kinds} - {"0"}) == 1:
        return len(re.findall(r"\d+", signs)) >= _RUNS_OF_FIGURES
    if not figures and (length < _LONG or not code.isalnum()):
        return False
    words = [word for word in _LIKE_WORDS.findall(code) if _VOWEL.search(word)]
    in_words = sum(len(word) for word in words) / length
    changes = sum(kind != other for kind, other in pairwise(kinds)) / (length - 1)
    many = _MANY_CHANGES if length < _LONG else _MANY_CHANGES - 0.05
    return in_words < _MOST_IN_WORDS or changes >= many


def _entropy(text: str) -> float:
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
