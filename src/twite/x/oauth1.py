"""OAuth 1.0a user context, HMAC-SHA1: sign requests to X, and verify requests to the gateway.

A JSON body is not part of the signature (RFC 5849, 3.4.1.3.1), but the host is: sign for the host
that is called. X accepts each nonce only once and refuses stale timestamps, so every attempt needs
a new signature. [doc OA]
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from twite.domain.destination import OAuthKeys, XApp
from twite.domain.secret import Secret
from twite.x import spec

_MAX_HEADER: Final = 4_096


def sign(*, method: str, url: str, keys: OAuthKeys, nonce: str, timestamp: int) -> str:
    """Return the value of the Authorization header. `timestamp` is in seconds."""
    return _authorization(
        method,
        url,
        client_key=keys.consumer_key,
        client_secret=keys.consumer_secret.reveal(),
        resource_owner_key=keys.token,
        resource_owner_secret=keys.token_secret.reveal(),
        nonce=nonce,
        timestamp=str(timestamp),
    )


def sign_step(
    *,
    url: str,
    app: XApp,
    nonce: str,
    timestamp: int,
    requested: tuple[str, Secret] | None = None,
    callback: str | None = None,
    verifier: str | None = None,
) -> str:
    """Return the Authorization header of a sign-in step, a POST (RFC 5849, section 2).

    `requested` is the request token with its secret; without it, only the app signs.
    """
    token, secret = (None, None) if requested is None else requested
    return _authorization(
        "POST",
        url,
        client_key=app.consumer_key,
        client_secret=app.consumer_secret.reveal(),
        resource_owner_key=token,
        resource_owner_secret=None if secret is None else secret.reveal(),
        callback_uri=callback,
        verifier=verifier,
        nonce=nonce,
        timestamp=str(timestamp),
    )


def _authorization(method: str, url: str, **signed: str | None) -> str:
    from oauthlib.oauth1 import Client  # noqa: PLC0415  # pixel tokens need no signature

    # Signs with HMAC-SHA1 by default.
    _, headers, _ = Client(**signed).sign(url, http_method=method)
    return str(headers["Authorization"])


def verify(*, method: str, url: str, authorization: str, keys: OAuthKeys, now: int) -> str | None:
    """Return the nonce if the header is a signature of this request with `keys`, else None.

    `now` is in seconds. The caller checks whether the nonce was used before.
    """
    from oauthlib.oauth1.rfc5849 import signature  # noqa: PLC0415  # see _authorization

    given = parameters(authorization)
    if given is None or not _names(given, keys, now):
        return None
    try:
        # The query is signed too (RFC 5849, 3.4.1.3.1).
        query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
        request = _Request(
            uri=url,
            http_method=method,
            signature=given["oauth_signature"],
            params=[pair for pair in given.items() if pair[0] != "oauth_signature"] + query,
        )
        good = signature.verify_hmac_sha1(
            request,
            client_secret=keys.consumer_secret.reveal(),
            resource_owner_secret=keys.token_secret.reveal(),
        )
    except ValueError:
        # The client chose the host, which may be invalid in a URL.
        return None
    return given["oauth_nonce"] if good else None


def parameters(authorization: str) -> dict[str, str] | None:
    """Parse an `OAuth …` header; None unless it holds X's seven parameters, each once."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "oauth" or len(rest) > _MAX_HEADER:
        return None
    found: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, quoted = part.strip().partition("=")
        if name == "realm":
            continue
        if not equals or name in found:
            return None
        found[name] = unquote(quoted.strip().strip('"'))
    return found if found.keys() == set(spec.OAUTH_PARAMETERS) else None


class _Request(msgspec.Struct):
    """The attributes of a request that oauthlib's verification reads."""

    uri: str
    http_method: str
    signature: str
    params: list[tuple[str, str]]


def _names(given: Mapping[str, str], keys: OAuthKeys, now: int) -> bool:
    stamp = given["oauth_timestamp"]
    return (
        given["oauth_consumer_key"] == keys.consumer_key
        and given["oauth_token"] == keys.token
        and given["oauth_signature_method"] == spec.OAUTH_SIGNATURE_METHOD
        and given["oauth_version"] == spec.OAUTH_VERSION
        and given["oauth_nonce"].isascii()
        and bool(given["oauth_nonce"])
        and stamp.isascii()
        and stamp.isdigit()
        and abs(int(stamp[:12]) - now) <= spec.OAUTH_WINDOW_SECONDS
    )
