"""Signatures of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`. [doc SWH]"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from hashlib import sha256
from typing import Final

from twite.domain.secret import Secret

PREFIX: Final = "whsec_"


def key_of(secret: Secret) -> bytes:
    """Return the key: decoded from base64 after `whsec_`, else the text itself.

    BigCommerce signs with the text of its client secret. [doc BC]
    """
    text = secret.reveal()
    if text.startswith(PREFIX) and not is_unreadable(secret):
        return b64decode(text.removeprefix(PREFIX), validate=True)
    return text.encode()


def is_unreadable(secret: Secret) -> bool:
    """Whether a secret has the prefix for base64, but is not valid base64."""
    text = secret.reveal()
    if not text.startswith(PREFIX):
        return False
    try:
        return not b64decode(text.removeprefix(PREFIX), validate=True)
    except Error:
        return True


def signature_of(secret: Secret, *, id_: bytes, stamp: bytes, body: bytes) -> bytes:
    """Return the signature without its version `v1,`. `stamp` is in seconds."""
    return b64encode(hmac.digest(key_of(secret), b".".join((id_, stamp, body)), sha256))
