"""Two-factor authentication: TOTP codes (RFC 6238), recovery codes, turning it on and off.

The TOTP secret is sealed, so that the store alone does not reveal codes.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from twite.domain.errors import InvalidAccountChange, SignedOut
from twite.domain.people.users import (
    AuditAction,
    AuditEvent,
    Result,
    TwoFactorDisabled,
    TwoFactorEnabled,
    User,
)
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.gateway.ports.directory import AccountDirectory
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.secret_store import CODES, SecretStore

if TYPE_CHECKING:
    from pyotp import TOTP

PERIOD: Final = 30
ISSUER: Final = "Twite"
RECOVERY_CODES: Final = 10
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_DRIFT: Final = 1  # one step in each direction, for clocks that are slightly wrong


class TwoFactor:
    """Turns codes on and off.

    Each method ends the user's sessions except the requesting session, `session_digest`. Each
    raises SignedOut if that session has ended, InvalidAccountChange and LedgerUnavailable.
    """

    def __init__(
        self, *, directory: AccountDirectory, secret_store: SecretStore, clock: Clock
    ) -> None:
        self._people = directory
        self._secret_store = secret_store
        self._clock = clock
        # The lock keeps the sealed secret and the user's record consistent during a change.
        self._turn = asyncio.Lock()

    async def begin(
        self, user: User, secret: Secret, code: str, *, session_digest: bytes = b""
    ) -> Sequence[str] | None:
        """Require codes from this secret from now on; return recovery codes.

        If `code` is wrong, return None and change nothing.
        """
        now = self._clock.now()
        step = step_of(secret, code, now=now)
        if step is None:
            return None
        recovery = recovery_codes()
        begun = TwoFactorEnabled(
            name=user.name,
            since=now,
            step=step,
            recovery=tuple(hash_of(code) for code in recovery),
            but=session_digest,
        )
        async with self._turn:
            there = await self._people.user(user.name)
            if there is not None and there.code_since is not None:
                raise InvalidAccountChange("two-factor codes are already set up")
            await self._secret_store.put(CODES + user.name, secret.reveal().encode())
            await self._change(begun, AuditAction.USER_CODES_ON, session_digest)
        return recovery

    async def end(self, user: User, *, session_digest: bytes = b"") -> None:
        """Turn two-factor authentication off, and delete the secret."""
        async with self._turn:
            await self._change(
                TwoFactorDisabled(name=user.name, but=session_digest),
                AuditAction.USER_CODES_OFF,
                session_digest,
            )

    async def _change(
        self, change: TwoFactorEnabled | TwoFactorDisabled, what: str, session_digest: bytes
    ) -> None:
        audit_event = AuditEvent(
            at=self._clock.now(), who=change.name, what=what, subject=change.name
        )
        result = await self._people.change(
            change, audit_event=audit_event, session_digest=session_digest
        )
        if result in {Result.OVER, Result.GONE}:
            raise SignedOut
        if result is not Result.DONE:
            raise InvalidAccountChange("two-factor codes are already set up")


def fresh_secret() -> Secret:
    """Return a new secret of 160 bits, as RFC 4226 (4) recommends."""
    from pyotp import random_base32  # noqa: PLC0415  # rarely needed at startup

    return Secret(random_base32())


def address_of(secret: Secret, name: str) -> str:
    """Return the URL for the QR code that an authenticator app scans. It contains the secret."""
    return _totp(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def step_of(secret: Secret, code: str, *, now: int) -> int | None:
    """Return the time step of a code: the current one or a neighbor. None for a wrong code."""
    offered = "".join(code.split())
    if not (offered.isascii() and offered.isdigit()):
        return None
    totp = _totp(secret)
    step = now // SECOND // PERIOD
    near = range(step - _DRIFT, step + _DRIFT + 1)
    # Compare all steps, so that the time does not reveal which one matched.
    found = [at for at in near if hmac.compare_digest(totp.generate_otp(at), offered)]
    return found[0] if found else None


def _totp(secret: Secret) -> "TOTP":
    from pyotp import TOTP  # noqa: PLC0415  # see fresh_secret

    return TOTP(secret.reveal(), interval=PERIOD)


def recovery_codes() -> list[str]:
    """Return new recovery codes of 79 bits each, such as `q7wk-3mhd-x9fa-t2pz`."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
        for _ in range(RECOVERY_CODES)
    ]


def hash_of(recovery: str) -> str:
    """Return the hash under which a recovery code is stored: random values need no slow hash."""
    spelled = "".join(c for c in recovery.lower() if c.isalnum())
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()
