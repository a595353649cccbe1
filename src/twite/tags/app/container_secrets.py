"""The secrets of an imported container: store and delete them."""

from collections.abc import Mapping, Sequence

from twite.app.logins import open_secrets
from twite.config.secret_key import VARIABLE, seal_of
from twite.config.settings import Settings
from twite.domain.errors import SettingsError
from twite.domain.people.users import AuditAction, AuditEvent
from twite.domain.plural import plural
from twite.domain.secret import Secret
from twite.gateway.ports.secret_store import Seal, SecretStore
from twite.gateway.ports.state import SealedSecret
from twite.machine.system import SystemClock


def sealing_key(settings: Settings) -> Seal:
    """Return the seal for an imported container's secrets. Raises SettingsError without a key."""
    key = settings.server.secret_key
    seal = seal_of(key or None, settings.server.former_secret_keys)
    if seal is None:
        raise SettingsError(
            "server.secret_key",
            "there are secrets to store, and no key to encrypt them with. Create a key "
            f"with `openssl rand -base64 32`, set it as {VARIABLE}, and write secret_key = "
            f'"env:{VARIABLE}" into [server]; '
            "or use --secrets env, and set the variables yourself",
        )
    return seal


async def forget_secrets(
    settings: Settings, names: Sequence[str], *, by: str, container: str
) -> None:
    """Delete secrets. Raises StoreUnusable, StoreInUse, LedgerUnavailable.

    The audit log records the container and the number of secrets; `by` is the user.
    """
    async with open_secrets(settings) as state:
        what = AuditAction.CONTAINER_FORGET_SECRETS
        audit_event = _audit_event(what, by, container, len(names))
        for at, name in enumerate(names):
            await state.delete(SealedSecret, name, audit_event=None if at else audit_event)


async def keep_secrets(
    settings: Settings, seal: Seal, secrets: Mapping[str, Secret], *, by: str, container: str
) -> None:
    """Store secrets under their names; the audit log records them as in forget_secrets.

    Raises StoreUnusable, StoreInUse, LedgerUnavailable.
    """
    async with open_secrets(settings) as state:
        secret_store = SecretStore(state=state, seal=seal)
        what = AuditAction.CONTAINER_KEEP_SECRETS
        audit_event = _audit_event(what, by, container, len(secrets))
        for at, (name, secret) in enumerate(secrets.items()):
            await secret_store.put(
                name, secret.reveal().encode(), audit_event=None if at else audit_event
            )


def _audit_event(what: str, by: str, container: str, count: int) -> AuditEvent:
    detail = plural(count, "secret")
    return AuditEvent(at=SystemClock().now(), who=by, what=what, subject=container, detail=detail)
