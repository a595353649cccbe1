"""Sealed secrets: store them, reseal them, and rotate the key (`twite rotate-key`).

A rotation can be interrupted at any step; the next run continues:

    1  the key is copied to another file, as a former key: settings loaded now contain both keys
    2  the new key replaces it in the first file
    3  secrets and queued payloads are resealed with the new key, here or in the running gateway
    4  the former key is deleted if nothing needs it any more
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from twite.app.control_client import owner_of, running
from twite.app.logins import CredentialVault, vault_seal
from twite.app.store_access import open_records, open_store
from twite.config.secret_key import VARIABLE, former_key_file, new_key
from twite.config.settings import Settings, load
from twite.domain.errors import NotOpened, SettingsError, StoreInUse, TransientError
from twite.domain.people.users import AuditAction, AuditEvent
from twite.gateway.operations.sealed_payloads import Resealing, UnsealedCounts, left
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.outbox import Outbox
from twite.gateway.ports.queries import PayloadHeadsQuery
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.state import SealedSecret
from twite.machine.private_file import replace_file
from twite.machine.system import SystemClock


class ResealResult(msgspec.Struct, frozen=True, kw_only=True):
    """The number of secrets in the vault, and the number of payloads that were resealed."""

    secrets: int = 0
    payloads: int = 0


async def reseal(settings: Settings, *, audit_event: AuditEvent | None = None) -> ResealResult:
    """Seal everything with the current key, here or in the running gateway.

    Raises NotOpened, LedgerUnavailable, StoreUnusable, StoreInUse.
    """
    seal = vault_seal(settings)
    if seal is None:
        return ResealResult()
    try:
        store = await open_store(settings)
    except StoreInUse as in_use:
        async with owner_of(settings, in_use) as gateway:
            secrets = await gateway.reseal(audit_event=audit_event)
            return ResealResult(secrets=secrets, payloads=await gateway.reseal_payloads())
    try:
        if audit_event is not None:
            await store.people.note(audit_event)
        secrets = len(await SecretStore(state=store, seal=seal).all(""))
        return ResealResult(
            secrets=secrets, payloads=await Resealing(outbox=store, seal=seal).all()
        )
    finally:
        await store.close()


async def sealed_anew(vault: CredentialVault, outbox: Outbox, *, observer: Observer) -> None:
    """Seal everything with the current key after a gateway has started.

    Errors are logged; they lose no data, and the next start tries again.
    """
    try:
        await vault.secret_store.all("")
        await Resealing(outbox=outbox, seal=vault.seal).all()
    except (NotOpened, TransientError) as error:
        observer.see(ProblemSeen(where=ProblemPlace.VAULT, reason=str(error)))


async def still_sealed(settings: Settings) -> UnsealedCounts:
    """Count secrets and payloads sealed with keys other than the current one.

    A gateway may be running. Raises StoreUnusable, LedgerUnavailable.
    """
    seal = vault_seal(settings)
    if seal is None or not settings.store.exists:
        return UnsealedCounts()
    async with open_records(settings) as records:
        return left(
            seal,
            secrets=await records.load(SealedSecret),
            heads=await records.answer(PayloadHeadsQuery()),
        )


class RotationResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many secrets are sealed with the current key, and how many payloads were resealed.

    `file` contains the new key, if the command created one. `unsealed` counts secrets and payloads
    still sealed with other keys; `gateway` is the process that owns the store.
    """

    secrets: int
    payloads: int
    file: Path | None
    unsealed: UnsealedCounts
    gateway: int | None = None


async def rotate(settings: Settings, environ: Mapping[str, str], *, by: str) -> RotationResult:
    """Create a new key if the key is in a file, and reseal everything.

    `by` is the user. Users must change a key themselves if it is not in a file. Raises
    SettingsError, NotOpened, StoreUnusable, StoreInUse, LedgerUnavailable.
    """
    server = settings.server
    if server.secret_key is None:
        raise SettingsError(
            "server.secret_key",
            "is missing, so there are no encrypted secrets to rotate. twite init creates a key",
        )
    file = server.secret_key_file
    if file is None:
        if not server.former_secret_keys:
            raise SettingsError(
                "server.secret_key",
                f"is not in a file, so no command can change it. Set a new key there "
                f"({VARIABLE}, or wherever the key is set), add the old key to "
                f"server.former_secret_keys, and restart the gateway or run this command again",
            )
        return await _sealed(settings, None, by=by)
    former = former_key_file(file)
    if former.exists():
        # An earlier rotation was interrupted: data that the older key encrypted must not be lost.
        await reseal(settings)
        if (await still_sealed(settings)).any:
            return await _sealed(settings, None, by=by)
    _write(former, server.secret_key.reveal())
    _write(file, new_key())
    done = await _sealed(load(settings.path, environ), file, by=by)
    if not done.unsealed.any:
        former.unlink()
    return done


async def _sealed(settings: Settings, file: Path | None, *, by: str) -> RotationResult:
    """Reseal with the current key, and count what is left."""
    where = "the settings" if file is None else file.name
    audit_event = AuditEvent(
        at=SystemClock().now(),
        who=by,
        what=AuditAction.SECRET_KEY_ROTATE,
        detail=f"the key is in {where}",
    )
    done = await reseal(settings, audit_event=audit_event)
    owner = running(settings.store.gateway_file)
    return RotationResult(
        secrets=done.secrets,
        payloads=done.payloads,
        file=file,
        unsealed=await still_sealed(settings),
        gateway=None if owner is None else owner.pid,
    )


def _write(path: Path, key: str) -> None:
    try:
        replace_file(path, f"{key}\n".encode())
    except OSError as failure:
        raise SettingsError(
            str(path), f"cannot be written ({failure.strerror}). Nothing was changed"
        ) from None
