"""Encryption of secrets (AES-256-GCM) and password hashes (Argon2id).

Keys are derived from the strings in the settings.

    1 byte version · 4 bytes key id · 12 bytes nonce · ciphertext and tag

The ciphertext is bound to the name of its secret. NIST SP 800-38D allows 2^32 random nonces per
key; a deployment seals a few secrets a day.

Both libraries are imported on first use: a gateway rarely needs them at startup.
"""

import asyncio
import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from twite.domain.errors import NotOpened
from twite.domain.secret import Secret

if TYPE_CHECKING:
    from argon2 import PasswordHasher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION: Final = b"\x01"
_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEAD: Final = 1 + _ID_BYTES
# A hash takes 64 MiB and a core for tens of milliseconds, so unauthenticated clients must not be
# able to start many at once.
_AT_ONCE: Final = 2


class AesSeal:
    """Seals with the first key, and opens with any of them."""

    def __init__(self, key: Secret, former: Sequence[Secret] = ()) -> None:
        self._texts = (key, *former)

    def turn(self, seal: "AesSeal") -> None:
        # One assignment replaces all keys, because a store's writer thread may seal at the same
        # time.
        self.__dict__ = dict(vars(seal))

    @cached_property
    def _derived(self) -> "list[tuple[bytes, AESGCM]]":
        """Pairs of key id and key, the current key first."""
        return [_derived(text) for text in self._texts]

    @property
    def _current(self) -> bytes:
        return self._derived[0][0]

    @cached_property
    def _keys(self) -> "dict[bytes, AESGCM]":
        return dict(reversed(self._derived))

    def close(self, name: str, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        id_, key = self._derived[0]
        return _VERSION + id_ + nonce + key.encrypt(nonce, plain, _bound_to(name))

    def open(self, name: str, sealed: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # see above

        id_ = sealed[1:_HEAD]
        key = self._keys.get(id_) if sealed[:1] == _VERSION else None
        nonce, text = sealed[_HEAD : _HEAD + _NONCE_BYTES], sealed[_HEAD + _NONCE_BYTES :]
        if key is None or len(nonce) < _NONCE_BYTES:
            raise NotOpened(name, key_id=self.key_of(sealed))
        try:
            return key.decrypt(nonce, text, _bound_to(name))
        except InvalidTag:
            raise NotOpened(name, key_id=self.key_of(sealed)) from None

    def is_current(self, sealed: bytes) -> bool:
        return sealed[:_HEAD] == _VERSION + self._current

    def is_former(self, sealed: bytes) -> bool:
        return sealed[1:_HEAD] in self._keys and not self.is_current(sealed)

    def key_of(self, sealed: bytes) -> str:
        return sealed[1:_HEAD].hex()

    def __repr__(self) -> str:
        return f"AesSeal({self._current.hex()})"


def _derived(key: Secret) -> "tuple[bytes, AESGCM]":
    """Return the key's id and the key; any text that is hard to guess can be a key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # see above
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    made = HKDF(algorithm=SHA256(), length=_ID_BYTES + 32, salt=None, info=b"twite vault 1").derive(
        key.reveal().encode()
    )
    return made[:_ID_BYTES], AESGCM(made[_ID_BYTES:])


def _bound_to(name: str) -> bytes:
    return b"twite\0" + name.encode()


class Argon2Passwords:
    """Hashes and verifies passwords on other threads, a few at a time.

    The parameters are the second recommended option of RFC 9106, section 4: 64 MiB, three passes.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher  # noqa: PLC0415  # see above
        from argon2.profiles import RFC_9106_LOW_MEMORY  # noqa: PLC0415

        return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)

    async def hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, hash_: str, password: str) -> bool:
        async with self._turn:
            return await asyncio.to_thread(self._verified, hash_, password)

    def is_current(self, hash_: str) -> bool:
        from argon2.exceptions import InvalidHashError  # noqa: PLC0415  # see above

        try:
            return not self._hasher.check_needs_rehash(hash_)
        except InvalidHashError:
            return False

    def _verified(self, hash_: str, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

        try:
            return self._hasher.verify(hash_, password)
        except (VerificationError, InvalidHashError):
            return False
