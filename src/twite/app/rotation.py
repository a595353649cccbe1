"""`twite rotate-key`: replace the key that seals secrets.

    1  the key is copied to a file of its own, as a former key: settings loaded now have both
    2  the new key takes its place
    3  secrets and queued payloads are resealed with the new key, here or in the running gateway
    4  the former key is deleted if nothing needs it any more

An interruption at any step leaves a key for everything; running it again continues.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from twite.app.control_client import running
from twite.app.resealing import reseal, still_sealed
from twite.config.secret_key import VARIABLE, former_key_file, new_key
from twite.config.settings import Settings, load
from twite.domain.errors import SettingsError
from twite.domain.people.users import AuditAction, AuditEvent
from twite.gateway.tags.run.payload import UnsealedCounts
from twite.machine import SystemClock

_DEED: Final = AuditAction.SECRET_KEY_ROTATE  # its name in the audit log


class RotationResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many secrets are sealed with the current key, and how many payloads were resealed.

    `file` holds a new key, if one was made. `left` counts what is still sealed with other keys;
    `gateway` is the process that owns the store.
    """

    secrets: int
    letters: int
    file: Path | None
    left: UnsealedCounts
    gateway: int | None = None


async def rotate(settings: Settings, environ: Mapping[str, str], *, by: str) -> RotationResult:
    """Make a new key if the key is in a file; reseal everything. `by` is the user.

    A key that is not in a file must be changed by its owner. Raises SettingsError, NotOpened,
    StoreUnusable, StoreInUse, LedgerUnavailable.
    """
    server = settings.server
    if server.secret_key is None:
        raise SettingsError(
            place="server.secret_key",
            message="is missing, so nothing is stored encrypted and there is nothing to rotate. "
            "twite init makes one",
        )
    file = server.secret_key_file
    if file is None:
        if not server.former_secret_keys:
            raise SettingsError(
                place="server.secret_key",
                message="is not in a file, so no command can change it. Put a new key in "
                f"its place ({VARIABLE}, or wherever it is set), name the old one in "
                "server.former_secret_keys, and start the gateway again, or run this again",
            )
        return await _sealed(settings, None, by=by)
    former = former_key_file(file)
    if former.exists():
        # An earlier rotation was interrupted: what the older key sealed must not be lost with it.
        await reseal(settings)
        if (await still_sealed(settings)).any:
            return await _sealed(settings, None, by=by)
    _write(former, server.secret_key.reveal())
    _write(file, new_key())
    done = await _sealed(load(settings.path, environ), file, by=by)
    if not done.left.any:
        former.unlink()
    return done


async def _sealed(settings: Settings, file: Path | None, *, by: str) -> RotationResult:
    """Reseal with the current key, and count what is left."""
    where = "the settings" if file is None else file.name
    audit_event = AuditEvent(
        at=SystemClock().now(), who=by, what=_DEED, detail=f"the key is in {where}"
    )
    done = await reseal(settings, audit_event=audit_event)
    owner = running(settings.store.gateway_file)
    return RotationResult(
        secrets=done.secrets,
        letters=done.letters,
        file=file,
        left=await still_sealed(settings),
        gateway=None if owner is None else owner.pid,
    )


def _write(path: Path, key: str) -> None:
    """Replace a key file atomically and durably, readable by the owner alone."""
    path = path.resolve()
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as failure:
        draft.unlink(missing_ok=True)
        raise SettingsError(
            place=str(path), message=f"cannot be written ({failure.strerror}). Nothing was changed"
        ) from None
