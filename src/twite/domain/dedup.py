"""Dedup key of a conversion, and a derived conversion id for conversions without one."""

import base64
import hashlib
from typing import Final

from twite.domain.times import DAY, HOUR

# X drops the twin within 48 hours [doc WEB]; a resend may follow a first send by 40 of them, so the
# gateway must remember longer than both together.
LEAST_WINDOW: Final = 48 * HOUR
DEFAULT_WINDOW: Final = 7 * DAY


def dedup_key(pixel: str, event: str, conversion_id: str) -> bytes:
    """Return the dedup key: 16 bytes of (pixel, event id, conversion id).

    None of the three may hold NUL, which is what keeps them apart.
    """
    return hashlib.blake2b(f"{pixel}\0{event}\0{conversion_id}".encode(), digest_size=16).digest()


def derived_id(*, salt: bytes, scope: str, repeated: bytes) -> str:
    """Return a conversion id, 26 characters of lower-case base 32, from what a client repeats.

    `scope` names the rule and the place (pixel, event), `repeated` is what a retry holds again. The
    salt, one a deployment, keeps the id from being a guessable function of an email.
    """
    digest = hashlib.sha256(b"v1\0" + salt + b"\0" + scope.encode() + b"\0" + repeated).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:26]
