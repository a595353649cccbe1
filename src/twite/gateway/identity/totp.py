"""Two-factor codes: TOTP of an authenticator (RFC 6238), and recovery codes."""

import hashlib
import secrets
from typing import Final

import pyotp

from twite.domain.secret import Secret
from twite.domain.times import SECOND

PERIOD: Final = 30
ISSUER: Final = "Twite"
RECOVERY_CODES: Final = 10
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_DRIFT: Final = 1  # a step to either side, for clocks that are off


def fresh_secret() -> Secret:
    """Return a new one: 160 bits, as RFC 4226 (4) recommends."""
    return Secret(pyotp.random_base32())


def address_of(secret: Secret, name: str) -> str:
    """Return what an authenticator reads from a QR code. It holds the secret."""
    return pyotp.TOTP(secret.reveal(), interval=PERIOD).provisioning_uri(
        name=name, issuer_name=ISSUER
    )


def step_of(secret: Secret, code: str, *, now: int) -> int | None:
    """Return which step the code is of, now or a step beside; None where it is none of them."""
    offered = "".join(code.split())
    if not (offered.isascii() and offered.isdigit()):
        return None
    totp = pyotp.TOTP(secret.reveal(), interval=PERIOD)
    step = now // SECOND // PERIOD
    near = range(step - _DRIFT, step + _DRIFT + 1)
    # All are compared, so that time does not tell which it was.
    found = [at for at in near if pyotp.utils.strings_equal(totp.generate_otp(at), offered)]
    return found[0] if found else None


def recovery_codes() -> list[str]:
    """Return new ones, each of 79 bits, as in `q7wk-3mhd-x9fa-t2pz`."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
        for _ in range(RECOVERY_CODES)
    ]


def hash_of(recovery: str) -> str:
    """Return the stored hash of a recovery code: random values need no slow hash."""
    spelled = "".join(c for c in recovery.lower() if c.isalnum())
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()
