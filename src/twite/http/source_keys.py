"""Find a source by its source key, in constant time and without timing leaks."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from twite.domain.destination import Source
from twite.http.responses import HttpRefusal, HttpResponse, error

_BEARER: Final = b"bearer "


class SourceKeys:
    """The sources by a keyed digest of their source keys.

    The digest's key is new in each process, so that comparison times reveal nothing about a source
    key.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._pepper = secrets.token_bytes(32)
        self._sources: dict[bytes, Source] = {}
        for source in sources:
            if source.key is None:
                continue
            digest = self._digest(source.key.reveal().encode())
            if digest in self._sources:
                raise ValueError(
                    f"sources {self._sources[digest].name} and {source.name} have the same key"
                )
            self._sources[digest] = source

    def find(self, key: bytes) -> Source | None:
        """Return the source of this key, or None."""
        return self._sources.get(self._digest(key))

    def require(self, headers: Mapping[bytes, bytes]) -> Source:
        """Return the source of `Authorization: Bearer <key>`. Raises HttpRefusal (401)."""
        key = bearer(headers)
        if key is None:
            raise HttpRefusal(_NO_KEY)
        source = self.find(key)
        if source is None:
            raise HttpRefusal(WRONG_KEY)
        return source

    def removed(self, scope: Scope) -> Scope:
        """Return a request without source keys in its query and headers.

        Everything that a route stores, or passes to tags and clients, is made of this.
        """
        query: bytes = scope["query_string"]
        parts = query.split(b"&")
        left = [part for part in parts if not self._holds(part.partition(b"=")[2])]
        headers = [header for header in scope["headers"] if not self._shows(header[1])]
        if len(left) == len(parts) and len(headers) == len(scope["headers"]):
            return scope
        return {**scope, "query_string": b"&".join(left), "headers": headers}

    def _holds(self, value: bytes) -> bool:
        """Return whether a parameter's value is a source key, plain or percent-encoded."""
        return bool(value) and self.find(unquote_to_bytes(value.replace(b"+", b" "))) is not None

    def _shows(self, value: bytes) -> bool:
        """Return whether a header's value is a source key, with or without its scheme."""
        return self.find(value.strip()) is not None or (
            value[:7].lower() == _BEARER and self.find(value[7:].strip()) is not None
        )

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=32, key=self._pepper).digest()


def bearer(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the token of an `Authorization: Bearer` header."""
    given = headers.get(b"authorization")
    if given is None or given[:7].lower() != _BEARER:
        return None
    return given[7:].strip() or None


def _unauthorized(code: str, message: str) -> HttpResponse:
    return error(401, code, message, headers=((b"www-authenticate", b'Bearer realm="twite"'),))


_NO_KEY: Final = _unauthorized(
    "key_missing", "send the key of a source: Authorization: Bearer <key>"
)
WRONG_KEY: Final = _unauthorized(
    "key_wrong", "the key is not that of a source: compare it with [[source]] in twite.toml"
)
