"""Whether and how the credentials that tags bring are kept."""

from collections.abc import MutableMapping

from twite.assembly.sealing import seal_of
from twite.assembly.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.lent import Lent
from twite.gateway.notices import Observer
from twite.gateway.ports import Clock
from twite.gateway.run import Run
from twite.gateway.vault import Strongroom
from twite.stores.sqlite import SQLiteStore


def lent_to(
    settings: Settings,
    *,
    store: SQLiteStore,
    destinations: MutableMapping[str, Destination],
    run: Run,
    clock: Clock,
    observer: Observer,
) -> Lent | None:
    """Return who keeps the credentials that tags bring; None where no source lets them."""
    seal = seal_of(settings.server.secret_key, settings.server.former_secret_keys)
    if seal is None or all(one.stape_credentials == "configured" for one in settings.sources()):
        return None
    return Lent(
        strongroom=Strongroom(vault=store.vault, seal=seal),
        destinations=destinations,
        rate=settings.x.rate,
        sends=run,
        outlook=store,
        clock=clock,
        observer=observer,
    )
