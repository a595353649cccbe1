"""Settings and a store → the console's pages about conversions, in the navigation's order."""

from collections.abc import Callable, Mapping

from twite.assembly.settings import Settings
from twite.console.amounts import AmountsPage
from twite.console.live import LivePage
from twite.console.matching import MatchingPage
from twite.console.overview import OverviewPage
from twite.console.page import Page
from twite.console.rejected import RejectedPage
from twite.console.resting import RestingPage
from twite.console.twins import TwinsPage
from twite.domain.destination import Destination
from twite.gateway.accept import X_SOURCE
from twite.gateway.ports import Clock
from twite.gateway.rehearse import Rehearse
from twite.gateway.replay import WakingDesk, WakingMender
from twite.gateway.sightings import watched
from twite.stores.sqlite import SQLiteStore


def insight_pages(
    settings: Settings,
    *,
    store: SQLiteStore,
    destinations: Mapping[str, Destination],
    wake_all: Callable[[], None],
    clock: Clock,
) -> tuple[Page, ...]:
    """Return them."""
    sources = settings.sources()
    return (
        OverviewPage(
            destinations=destinations,
            records=store,
            tallies=store,
            heaps=store,
            outlook=store,
            alarms=store,
            outbox=store,
        ),
        LivePage(
            destinations=destinations,
            sources=[*(one.name for one in sources), X_SOURCE],
            glances=store,
            sightings=store,
            watched=watched(sources),
            records=store,
            clock=clock,
        ),
        RejectedPage(
            destinations=destinations, sources=[one.name for one in sources], records=store
        ),
        MatchingPage(destinations=destinations, tallies=store),
        TwinsPage(destinations=destinations, sightings=store, clock=clock),
        RestingPage(
            destinations=destinations,
            heaps=store,
            rehearse=Rehearse(
                destinations=destinations,
                sources=sources,
                glances=store,
                clock=clock,
                is_cautious=settings.is_cautious,
            ),
            desk=WakingDesk(desk=store, wake_all=wake_all),
            mender=WakingMender(mender=store, wake_all=wake_all),
        ),
        AmountsPage(
            destinations=destinations,
            guards={one.name: one.value_guard for one in sources},
            glances=store,
            norms=store,
        ),
    )
