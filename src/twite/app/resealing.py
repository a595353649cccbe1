"""Reseal secrets and queued tag payloads with the current key, and count those left over."""

import msgspec

from twite.app.control_client import owner_of
from twite.app.logins import CredentialVault, vault_seal
from twite.app.store_access import open_records, open_store
from twite.config.settings import Settings
from twite.domain.errors import NotOpened, StoreInUse, TransientError
from twite.domain.people.users import AuditEvent
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.outbox import Outbox
from twite.gateway.ports.queries import PayloadHeadsQuery
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.state import SealedSecret
from twite.gateway.tags.run.payload import Resealing, UnsealedCounts, left


class ResealResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many secrets there are, and how many payloads were resealed."""

    secrets: int = 0
    letters: int = 0


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
            return ResealResult(secrets=secrets, letters=await gateway.reseal_letters())
    try:
        if audit_event is not None:
            await store.people.note(audit_event)
        secrets = len(await SecretStore(state=store, seal=seal).all(""))
        return ResealResult(secrets=secrets, letters=await Resealing(outbox=store, seal=seal).all())
    finally:
        await store.close()


async def sealed_anew(safe: CredentialVault, outbox: Outbox, *, observer: Observer) -> None:
    """Seal everything with the current key after a gateway has started.

    Errors are reported; nothing is lost, and the next start tries again.
    """
    try:
        await safe.secret_store.all("")
        await Resealing(outbox=outbox, seal=safe.seal).all()
    except (NotOpened, TransientError) as error:
        observer.see(Troubled(where=TroublePlace.VAULT, reason=str(error)))


async def still_sealed(settings: Settings) -> UnsealedCounts:
    """Count what is sealed with other keys than the current one, beside a running gateway.

    Raises StoreUnusable, LedgerUnavailable.
    """
    seal = vault_seal(settings)
    if seal is None or not settings.store.path.exists():
        return UnsealedCounts()
    async with open_records(settings) as records:
        return left(
            seal,
            secrets=await records.load(SealedSecret),
            heads=await records.answer(PayloadHeadsQuery()),
        )
