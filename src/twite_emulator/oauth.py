"""Verify OAuth 1.0a as X does, with Authlib's primitives (RFC 5849, section 3)."""

import hmac
from collections.abc import Mapping
from typing import Final
from urllib.request import parse_http_list, parse_keqv_list

from authlib.oauth1.rfc5849.signature import (
    hmac_sha1_signature,
    normalize_base_string_uri,
    normalize_parameters,
)
from authlib.oauth1.rfc5849.util import escape, unescape
from msgspec import Struct

from twite_emulator import spec
from twite_emulator.exchange import XRequestReceived
from twite_emulator.state import EmulatedState
from twite_emulator.world import EmulatedApp, EmulatedToken, EmulatedUser, World

SEVEN: Final = frozenset(spec.OAUTH_PARAMETERS)
_STAMP_DIGITS: Final = 12


class Signed(Struct, frozen=True, kw_only=True):
    """A request with a valid signature."""

    app: EmulatedApp
    user: EmulatedUser | None  # None if there was no token
    token: EmulatedToken | None
    parameters: Mapping[str, str]


class UnsignedError(Exception):
    """The request is not properly signed.

    The control plane shows `why`, which X does not reveal.
    """

    def __init__(self, why: str, *, revoked: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.revoked = revoked


def verify(
    request: XRequestReceived,
    state: EmulatedState,
    *,
    names: frozenset[str] = SEVEN,
    secret_of: Mapping[str, str] | None = None,
) -> Signed:
    """Verify the signature of a request.

    Raises UnsignedError. `names` are exactly the oauth_ parameters that the request must have;
    `secret_of` maps temporary tokens to their secrets, for steps that sign with one (RFC 5849,
    section 2.3).
    """
    world, at, window = state.world, state.signed_at, state.switches.oauth_window
    parameters = authorization_parameters(request)
    faulty = _fault_of(parameters, names, at, window)
    if faulty:
        raise UnsignedError(faulty)
    found = _keys_of(parameters, world, secret_of)
    if not _signature_holds(request, parameters, found):
        raise UnsignedError("the signature does not match")
    if found.token and found.token.revoked:
        raise UnsignedError("the token was revoked", revoked=True)
    parts = ("oauth_consumer_key", "oauth_token", "oauth_timestamp", "oauth_nonce")
    key = tuple(parameters.get(part, "") for part in parts)
    if not state.nonces.remember(key, at=at, window=window):
        raise UnsignedError("the nonce was used before")
    user = world.users[found.token.user] if found.token else None
    return Signed(app=found.app, user=user, token=found.token, parameters=parameters)


def authorization_parameters(request: XRequestReceived) -> dict[str, str]:
    """The Authorization header's parameters, decoded, without `realm`. Raises UnsignedError."""
    header = request.headers.get("authorization", "")
    if not header:
        raise UnsignedError("no Authorization header")
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "oauth":
        raise UnsignedError(f"the scheme {scheme[:20]!r} is not OAuth")
    items = parse_http_list(rest)
    try:
        pairs = {unescape(key): unescape(value) for key, value in parse_keqv_list(items).items()}
    except (IndexError, ValueError):
        raise UnsignedError("the Authorization header does not parse") from None
    if len(pairs) != len(items):
        raise UnsignedError("an oauth parameter is given twice")
    pairs.pop("realm", None)
    return pairs


def base_string(request: XRequestReceived, parameters: Mapping[str, str]) -> str:
    """Return the string to sign (RFC 5849, section 3.4.1); a JSON body is not part of it."""
    pairs = [*request.query_pairs(), *request.form_pairs()]
    pairs += [(key, value) for key, value in parameters.items() if key != "oauth_signature"]
    parts = (request.method.upper(), normalize_base_string_uri(request.url))
    return "&".join(escape(part) for part in (*parts, normalize_parameters(pairs)))


def _fault_of(
    parameters: Mapping[str, str], names: frozenset[str], at: float, window: float
) -> str | None:
    if parameters.keys() != names:
        odd = sorted(parameters.keys() ^ names)
        return f"unexpected or missing OAuth parameters: {', '.join(odd)[:200]}"
    if parameters["oauth_signature_method"] != spec.OAUTH_SIGNATURE_METHOD:
        return "the signature method is not HMAC-SHA1"
    if parameters["oauth_version"] != spec.OAUTH_VERSION:
        return "the version is not 1.0"
    nonce = parameters["oauth_nonce"]
    if not nonce or not nonce.isascii():
        return "the nonce is empty or not ASCII"
    stamp = parameters["oauth_timestamp"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _STAMP_DIGITS):
        return "the timestamp is not a number of seconds"
    off = abs(at - int(stamp))
    return (
        f"the timestamp is wrong by {off:.0f} s; X allows {window:.0f} s" if off > window else None
    )


class _Keys(Struct, frozen=True, kw_only=True):
    app: EmulatedApp
    token: EmulatedToken | None
    token_secret: str

    def __repr__(self) -> str:
        return f"_Keys(app={self.app!r})"


def _keys_of(
    parameters: Mapping[str, str], world: World, secret_of: Mapping[str, str] | None
) -> _Keys:
    app = world.app_by_key(parameters["oauth_consumer_key"])
    if app is None:
        raise UnsignedError("unknown consumer key")
    presented = parameters.get("oauth_token")
    if presented is None:
        return _Keys(app=app, token=None, token_secret="")
    if secret_of is not None:
        if presented not in secret_of:
            raise UnsignedError("unknown request token")
        return _Keys(app=app, token=None, token_secret=secret_of[presented])
    token = world.tokens.get(presented)
    if token is None:
        raise UnsignedError("unknown token")
    if token.app != app.id:
        raise UnsignedError("the token belongs to another app")
    return _Keys(app=app, token=token, token_secret=token.secret)


def _signature_holds(request: XRequestReceived, parameters: Mapping[str, str], keys: _Keys) -> bool:
    names = [name for name, _ in request.query_pairs() + request.form_pairs()]
    # X does not accept a key twice. [doc OA]
    if len(set(names)) != len(names):
        return False
    expected: str = hmac_sha1_signature(
        base_string(request, parameters), keys.app.consumer_secret, keys.token_secret
    )
    return hmac.compare_digest(expected.encode(), parameters["oauth_signature"].encode())
