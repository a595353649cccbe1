"""Source keys, API keys and OAuth nonces: who sends a request, and what the sender may see."""

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Final, Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec
import re2
from starlette.types import Scope

from twite.domain.destination import Source
from twite.domain.history import ConversionCounts
from twite.domain.people.users import KeyScope
from twite.domain.test_mode import real_name, with_test_names
from twite.gateway.identity.accounts import KEY_PREFIX
from twite.gateway.identity.authentication import ApiKeyLookup
from twite.gateway.identity.key_uses import KeyName, KeyUses
from twite.gateway.identity.source_keys import key_names
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.redaction.shapes import base64_parts

_BEARER: Final = b"bearer "
MASK: Final = b"***"
# A shorter key could be an ordinary word. `twite check` warns about short keys.
_SHORTEST_HIDDEN: Final = 12
# Up to this many keys are searched for one by one. A search with a pattern lets other threads run,
# which costs as much as these searches.
_FEW: Final = 50
_HINT_MEMORY: Final = 16 * 1024 * 1024  # bytes
_PLAIN: Final = re.compile(rb"[A-Za-z0-9]+")
# An encoded letter or digit that needs no encoding.
_ODDLY_ENCODED: Final = re.compile(rb"(?:%(?:25){0,4}|\\u00)(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])")
_PERCENT, _BACKSLASH = b"%\\"
_ONE_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")
_OURS: Final = KEY_PREFIX.encode()


class SourceKeys:
    """The sources, by a keyed digest of their source keys.

    The digest's key is new in each process, so that the time of a comparison reveals nothing
    about a source key. `uses` collects the keys that requests were authenticated with.
    """

    def __init__(self, sources: Iterable[Source], uses: KeyUses | None = None) -> None:
        self._uses = KeyUses() if uses is None else uses
        self._pepper = secrets.token_bytes(32)
        self._sources: dict[bytes, tuple[Source, KeyName]] = {}
        self._by_write_key: dict[bytes, Source] = {}
        # Each key with those of its parts that no encoding changes, the longest first.
        self._spelled: list[tuple[tuple[bytes, ...], bytes]] = []
        self._packed: list[tuple[tuple[bytes, ...], bytes]] = []
        lengths = []
        for source in sources:
            if source.write_key is not None:
                self._by_write_key[source.write_key.encode()] = source
            for secret, key_name in key_names(source):
                key = secret.reveal().encode()
                digest = self._digest(key)
                same = self._sources.get(digest)
                if same is not None and same[0].name != source.name:
                    raise ValueError(f"sources {same[0].name} and {source.name} have the same key")
                self._sources[digest] = source, key_name
                lengths.append(len(key))
                if len(key) >= _SHORTEST_HIDDEN:
                    self._spelled.append((_plains(key), key))
                    self._packed += [(_plains(said), said) for said in base64_parts(key)]
        # A shorter text cannot be a key, so no digest is computed.
        self._shortest = min(lengths, default=0)
        plains = [longest for (longest, *_), _ in (*self._spelled, *self._packed)]
        self._hint = _hint_of(plains) if len(plains) > _FEW else None

    def find(self, key: bytes) -> Source | None:
        """Return the source that a request authenticates with this key, and count the use."""
        found = self._sources.get(self._digest(key))
        if found is None:
            return None
        source, key_name = found
        self._uses.used.add(key_name)
        return source

    def with_write_key(self, key: bytes) -> Source | None:
        """Return the source with this public key, which only pages use."""
        return self._by_write_key.get(key)

    def require(self, headers: Mapping[bytes, bytes]) -> Source:
        """Return the source of `Authorization: Bearer <key>`. Raises HttpRefusal (401)."""
        key = bearer(headers)
        if key is None:
            raise HttpRefusal(NO_KEY)
        source = self.find(key)
        if source is None:
            raise HttpRefusal(WRONG_KEY)
        return source

    def removed(self, scope: Scope) -> Scope:
        """Return a request without source keys in its path, query and headers.

        Only this request, and a body without keys (see `without`), are stored and passed to tags
        and clients.
        """
        query: bytes = scope["query_string"]
        parts = [
            part if len(part) < _SHORTEST_HIDDEN else self._unpacked(part)
            for part in query.split(b"&")
            if len(part) <= self._shortest or not self._holds(part.partition(b"=")[2])
        ]
        headers = [
            (name, value if len(value) < _SHORTEST_HIDDEN else self.without(value))
            for name, value in scope["headers"]
            if len(value) < self._shortest or not self._shows(value)
        ]
        path: str = scope["path"]
        clean = self.without(path.encode("utf-8", "surrogateescape"))
        return {
            **scope,
            "path": clean.decode("utf-8", "surrogateescape"),
            "query_string": self.without(b"&".join(parts)),
            "headers": headers,
        }

    def without(self, data: bytes) -> bytes:
        """Return a body, or a part of a request, with each source key replaced by MASK.

        Keys are found in plain text, percent-encoded (even several times), escaped in JSON, and in
        base64.
        """
        if self._hint is not None and self._hint.search(data) is None:
            return data
        # Searching for a digit takes a fraction of the time of searching for an escape.
        is_odd = (_PERCENT in data or (_BACKSLASH in data and b"\\u00" in data)) and (
            _ODDLY_ENCODED.search(data) is not None
        )
        for plains, key in self._spelled:
            # No encoding changes letters or digits. So the slow search is needed only for
            # strings that may contain a key.
            if is_odd or (plains[0] in data and _holds_all(data, plains)):
                data = _spelled(key).sub(MASK, data)
        for plains, said in self._packed:
            if plains[0] in data and _holds_all(data, plains):
                data = _spelled(said).sub(MASK, data)
        return data

    def _unpacked(self, part: bytes) -> bytes:
        """Return a parameter; a value that contains a source key in base64 is replaced by MASK."""
        name, _, value = part.partition(b"=")
        if len(value) < _SHORTEST_HIDDEN:
            return part
        packed = unquote_to_bytes(value).replace(b" ", b"+").translate(_ONE_ALPHABET).rstrip(b"=")
        try:
            decoded = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
        except binascii.Error:
            return part
        clean = self.without(decoded)
        if clean == decoded:
            return part
        return b"%b=%b" % (name, quote_from_bytes(base64.b64encode(clean), safe="").encode())

    def _holds(self, value: bytes) -> bool:
        """Return whether a parameter's value is a source key, plain or percent-encoded."""
        return bool(value) and self._is_key(unquote_to_bytes(value.replace(b"+", b" ")))

    def _shows(self, value: bytes) -> bool:
        """Return whether a header's value is a source key, with or without its scheme."""
        return self._is_key(value.strip()) or (
            value[:7].lower() == _BEARER and self._is_key(value[7:].strip())
        )

    def _is_key(self, text: bytes) -> bool:
        return self._digest(text) in self._sources

    def _digest(self, key: bytes) -> bytes:
        return blake2b(key, digest_size=32, key=self._pepper).digest()


class _Hint(Protocol):
    def search(self, data: bytes) -> object | None: ...


def _hint_of(plains: Iterable[bytes]) -> _Hint | None:
    """Return a pattern that matches a part of each source key, so that one search finds all keys.

    None if there is no such pattern: a key that consists of special characters has no part to
    match, and a pattern for many keys needs too large an automaton.
    """
    plains = tuple(plains)
    if not all(plains):
        return None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _HINT_MEMORY
    try:
        hint: _Hint = re2.compile(b"|".join((_ODDLY_ENCODED.pattern, *plains)), options)
    except re2.error:
        return None
    return hint


def _plains(key: bytes) -> tuple[bytes, ...]:
    """Return the runs of letters and digits in a key, the longest first; at least one text."""
    return tuple(sorted(set(_PLAIN.findall(key)), key=len, reverse=True)) or (b"",)


def _holds_all(data: bytes, parts: tuple[bytes, ...]) -> bool:
    for part in parts:  # noqa: SIM110 - faster than all() with a generator
        if part not in data:
            return False
    return True


# Compiling takes milliseconds for each key, and few requests contain one. The cache is limited by
# the number of keys.
@cache
def _spelled(key: bytes) -> re.Pattern[bytes]:
    """Return a pattern for a key in every encoding that a request may use."""
    return re.compile(b"".join(map(_spelled_letter, key)))


def _spelled_letter(code: int) -> bytes:
    letter = bytes([code])
    plain = letter if letter.isalnum() else rb"\\{0,8}" + re.escape(letter)
    blank = rb"|\+" if letter == b" " else b""
    number = b"(?i:%02x)" % code
    return rb"(?:%b%b|%%(?:25){0,4}%b|\\{1,8}u00%b)" % (plain, blank, number, number)


def bearer(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the token of an `Authorization: Bearer` header."""
    given = headers.get(b"authorization")
    if given is None or given[:7].lower() != _BEARER:
        return None
    return given[7:].strip() or None


def basic_user(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the user name of an `Authorization: Basic` header."""
    given = headers.get(b"authorization", b"")
    if given[:6].lower() != b"basic ":
        return None
    try:
        return base64.b64decode(given[6:].strip(), validate=True).partition(b":")[0] or None
    except binascii.Error:
        return None


def _unauthorized(code: str, message: str) -> HttpResponse:
    return error(401, code, message, headers=((b"www-authenticate", b'Bearer realm="twite"'),))


NO_KEY: Final = _unauthorized(
    "key_missing", "send the key of a source as Authorization: Bearer <key>"
)
WRONG_KEY: Final = _unauthorized(
    "key_wrong", "no source has this key: compare it with [[source]] in twite.toml"
)


class Requester(msgspec.Struct, frozen=True, kw_only=True):
    """What a requester may see: some pixels, and the balance of one source or of all (None).

    A requester also sees the tests of these pixels.
    """

    pixels: frozenset[str] | None
    source: str | None = None

    def sees(self, pixel: str) -> bool:
        """Return whether the requester may see a pixel's conversions."""
        return self.pixels is None or pixel in self.pixels

    def counts(self, counts: ConversionCounts) -> bool:
        """Return whether an account is part of the balance that the requester may see."""
        if self.source:
            return real_name(counts.source) == self.source
        return self.sees(counts.pixel)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Authorization:
    """Identifies requesters by their source key or API key."""

    keys: SourceKeys
    api_keys: ApiKeyLookup

    async def require(self, headers: Mapping[bytes, bytes], scope: KeyScope) -> Requester:
        """Return the requester. Raises HttpRefusal: 401, and 403 if the key lacks the scope."""
        offered = bearer(headers)
        if offered is None or not offered.startswith(_OURS):
            source = self.keys.require(headers)
            return Requester(pixels=with_test_names(source.pixels), source=source.name)
        key = await self.api_keys.find(offered.decode("latin-1"))
        if key is None:
            raise HttpRefusal(WRONG_KEY)
        if scope not in key.scopes:
            raise HttpRefusal(error(403, "key_scope", f"this key does not have the scope {scope}"))
        return Requester(pixels=None if key.pixels is None else with_test_names(key.pixels))

    async def may_see_metrics(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether the request's API key may read the metrics, which cover every pixel."""
        offered = bearer(headers) or b""
        key = (
            await self.api_keys.find(offered.decode("latin-1"))
            if offered.startswith(_OURS)
            else None
        )
        return key is not None and KeyScope.METRICS in key.scopes and key.pixels is None


class NonceMemory:
    """Remembers each nonce for at least `seconds`, and at most twice as long.

    It stores digests of 16 bytes, in two generations. Nonces are stored only if the signature is
    valid, so strangers cannot fill the memory.
    """

    def __init__(self, *, seconds: int) -> None:
        self._seconds = seconds
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turned_at = 0

    def use(self, scope: str, nonce: str, *, now: int) -> bool:
        """Record a nonce; return False if it was used before. `now` is in seconds."""
        self._turn(now)
        digest = blake2b(f"{scope}\0{nonce}".encode(), digest_size=16).digest()
        if digest in self._young or digest in self._old:
            return False
        self._young.add(digest)
        return True

    def _turn(self, now: int) -> None:
        age = now - self._turned_at
        if age < 0:  # the clock was set back: remember the nonces for longer
            self._turned_at = now
        if age < self._seconds:
            return
        self._old = self._young if age < 2 * self._seconds else set()
        self._young = set()
        self._turned_at = now
