"""OAuth 1.0a as X asks for it, verified with Authlib's primitives (RFC 5849, section 3)."""

import hmac
from collections import deque
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

from twite.emulator.exchange import Request
from twite.emulator.world import App, Token, User, World
from twite.x import spec

SEVEN: Final = frozenset(spec.OAUTH_PARAMETERS)


class Signed(Struct, frozen=True, kw_only=True):
    """A request whose signature holds."""

    app: App
    user: User | None  # None when no token took part
    token: Token | None
    parameters: Mapping[str, str]


class Unsigned(Struct, frozen=True, kw_only=True):
    """A request that is not properly signed; `why` is for the control plane, X does not tell."""

    why: str
    revoked: bool = False


class Nonces:
    """Nonces seen within the window; X's replay detector. [doc OA]"""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()
        self._order: deque[tuple[float, tuple[str, ...]]] = deque()

    def remember(self, key: tuple[str, ...], *, at: float, window: float) -> bool:
        """True when `key` is new. It is kept for twice the window, either side of its time."""
        while self._order and self._order[0][0] < at - 2 * window:
            self._seen.discard(self._order.popleft()[1])
        if key in self._seen:
            return False
        self._seen.add(key)
        self._order.append((at, key))
        return True


def verify(
    request: Request,
    *,
    world: World,
    nonces: Nonces,
    at: float,
    window: float,
    names: frozenset[str] = SEVEN,
    secret_of: Mapping[str, str] | None = None,
) -> Signed | Unsigned:
    """Judge the signature of `request` at the time `at` (epoch seconds).

    `names` are the exact oauth_ parameters asked for; `secret_of` maps temporary tokens to their
    secrets where the token is not an access token (RFC 5849, section 2.3).
    """
    parameters = authorization_parameters(request)
    if isinstance(parameters, Unsigned):
        return parameters
    faulty = _fault_of(parameters, names, at, window)
    if faulty:
        return Unsigned(why=faulty)
    app = world.app_by_key(parameters["oauth_consumer_key"])
    if app is None:
        return Unsigned(why="unknown consumer key")
    presented = parameters.get("oauth_token")
    token: Token | None = None
    secret = ""
    if presented is not None:
        token = world.tokens.get(presented) if secret_of is None else None
        held = token.secret if token else (secret_of or {}).get(presented)
        if held is None:
            return Unsigned(why="unknown token")
        secret = held
        if token and token.app != app.id:
            return Unsigned(why="the token belongs to another app")
    if not _signature_holds(request, parameters, app.consumer_secret, secret):
        return Unsigned(why="the signature does not match")
    if token and token.revoked:
        return Unsigned(why="the token was revoked", revoked=True)
    key = (app.consumer_key, presented or "", parameters["oauth_timestamp"], parameters["oauth_nonce"])
    if not nonces.remember(key, at=at, window=window):
        return Unsigned(why="the nonce was used before")
    user = world.users[token.user] if token else None
    return Signed(app=app, user=user, token=token, parameters=parameters)


def authorization_parameters(request: Request) -> dict[str, str] | Unsigned:
    """The parameters of the Authorization header, decoded; `realm` is left out."""
    header = request.headers.get("authorization", "")
    if not header:
        return Unsigned(why="no Authorization header")
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "oauth":
        return Unsigned(why=f"the scheme {scheme[:20]!r} is not OAuth")
    items = parse_http_list(rest)
    try:
        pairs = {unescape(key): unescape(value) for key, value in parse_keqv_list(items).items()}
    except (IndexError, ValueError):
        return Unsigned(why="the Authorization header does not parse")
    if len(pairs) != len(items):
        return Unsigned(why="an oauth parameter is given twice")
    pairs.pop("realm", None)
    return pairs


def base_string(request: Request, parameters: Mapping[str, str]) -> str:
    """RFC 5849, section 3.4.1; a JSON body contributes nothing."""
    pairs = [*request.query_pairs(), *request.form_pairs()]
    pairs += [(key, value) for key, value in parameters.items() if key != "oauth_signature"]
    parts = (request.method.upper(), normalize_base_string_uri(request.url))
    return "&".join(escape(part) for part in (*parts, normalize_parameters(pairs)))


def _fault_of(
    parameters: Mapping[str, str], names: frozenset[str], at: float, window: float
) -> str | None:
    if parameters.keys() != names:
        odd = sorted(parameters.keys() ^ names)
        return f"not exactly the parameters asked for: {', '.join(odd)[:200]}"
    if parameters["oauth_signature_method"] != spec.OAUTH_SIGNATURE_METHOD:
        return "the signature method is not HMAC-SHA1"
    if parameters["oauth_version"] != spec.OAUTH_VERSION:
        return "the version is not 1.0"
    stamp, nonce = parameters["oauth_timestamp"], parameters["oauth_nonce"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _STAMP_DIGITS):
        return "the timestamp is not a number of seconds"
    if abs(at - int(stamp)) > window:
        return f"the timestamp is {abs(at - int(stamp)):.0f} s off, more than {window:.0f} s"
    if not nonce or not nonce.isascii():
        return "the nonce is empty or not ASCII"
    return None


def _signature_holds(
    request: Request, parameters: Mapping[str, str], consumer_secret: str, token_secret: str
) -> bool:
    names = [name for name, _ in request.query_pairs() + request.form_pairs()]
    # X does not accept a key twice. [doc OA]
    if len(set(names)) != len(names):
        return False
    expected: str = hmac_sha1_signature(
        base_string(request, parameters), consumer_secret, token_secret
    )
    given = parameters["oauth_signature"]
    return hmac.compare_digest(expected.encode(), given.encode())


_STAMP_DIGITS: Final = 12
