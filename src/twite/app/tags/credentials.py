"""Decide whether the gateway stores credentials that tags send."""

from collections.abc import MutableMapping

from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.ingest.tag_credentials import TagCredentials
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.secret_store import SecretStore


def lent_to(
    settings: Settings,
    *,
    secret_store: SecretStore | None,
    monitoring_store: Queries,
    destinations: MutableMapping[str, Destination],
    run: DeliveryRunner,
    clock: Clock,
    observer: Observer,
) -> TagCredentials | None:
    """Return the store for such credentials; None if no source allows it."""
    asked = any(source.stape_credentials != "configured" for source in settings.sources())
    if secret_store is None or not asked:
        return None
    return TagCredentials(
        secret_store=secret_store,
        destinations=destinations,
        rate=settings.x.rate,
        sends=run,
        monitoring_store=monitoring_store,
        clock=clock,
        observer=observer,
    )
