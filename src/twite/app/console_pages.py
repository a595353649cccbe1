"""Wire the console's pages about conversions, in the order of the navigation."""

from collections.abc import Callable, Mapping

from twite.config.settings import Settings
from twite.console.page import Page
from twite.console.pages.amounts import AmountsPage
from twite.console.pages.dead_letters import DeadLettersPage
from twite.console.pages.dedup_report import DedupReportPage
from twite.console.pages.live import LivePage
from twite.console.pages.match_quality import MatchQualityPage
from twite.console.pages.overview import OverviewPage
from twite.console.pages.rejected import RejectedPage
from twite.domain.destination import Destination
from twite.gateway.ingest.accept import X_SOURCE
from twite.gateway.ingest.sightings import watched
from twite.gateway.operations.dry_run import DryRun
from twite.gateway.operations.replay import WakingEditor, WakingOperations
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.store import Store


def insight_pages(
    settings: Settings,
    *,
    store: Store,
    destinations: Mapping[str, Destination],
    wake_all: Callable[[], None],
    clock: Clock,
) -> tuple[Page, ...]:
    """Return the pages."""
    sources = settings.sources()
    return (
        OverviewPage(
            destinations=destinations,
            records=store,
            tallies=store,
            heaps=store,
            monitoring_store=store,
            alarms=store,
            outbox=store,
        ),
        LivePage(
            destinations=destinations,
            sources=[*(source.name for source in sources), X_SOURCE],
            glances=store,
            sightings=store,
            watched=watched(sources),
            records=store,
            clock=clock,
        ),
        RejectedPage(
            destinations=destinations, sources=[source.name for source in sources], records=store
        ),
        MatchQualityPage(destinations=destinations, tallies=store),
        DedupReportPage(destinations=destinations, sightings=store, clock=clock),
        DeadLettersPage(
            destinations=destinations,
            heaps=store,
            rehearse=DryRun(
                destinations=destinations,
                sources=sources,
                glances=store,
                clock=clock,
                is_cautious=settings.is_cautious,
            ),
            desk=WakingOperations(desk=store, wake_all=wake_all),
            editor=WakingEditor(editor=store, wake_all=wake_all),
        ),
        AmountsPage(
            destinations=destinations,
            guards={source.name: source.value_guard for source in sources},
            glances=store,
            norms=store,
        ),
    )
