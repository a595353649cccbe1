"""Whether and how the credentials that tags bring are kept."""

from collections.abc import MutableMapping

from twite.assembly.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.lent import Lent
from twite.gateway.notices import Observer
from twite.gateway.outlook import Outlook
from twite.gateway.ports import Clock
from twite.gateway.run import Run
from twite.gateway.vault import Strongroom


def lent_to(
    settings: Settings,
    *,
    strongroom: Strongroom | None,
    outlook: Outlook,
    destinations: MutableMapping[str, Destination],
    run: Run,
    clock: Clock,
    observer: Observer,
) -> Lent | None:
    """Return who keeps the credentials that tags bring; None where no source lets them."""
    asked = any(one.stape_credentials != "configured" for one in settings.sources())
    if strongroom is None or not asked:
        return None
    return Lent(
        strongroom=strongroom,
        destinations=destinations,
        rate=settings.x.rate,
        sends=run,
        outlook=outlook,
        clock=clock,
        observer=observer,
    )
