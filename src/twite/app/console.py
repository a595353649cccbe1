"""Wire the console: its pages, the services they use, and its access rules."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from twite.app.export.state import list_exports
from twite.app.gateway_parts import GatewayParts
from twite.app.logins import events_manager
from twite.app.monitoring import send_trial
from twite.app.reports.results import reads_results
from twite.app.system_facts import system_facts
from twite.app.what_if.beside import WhatIfProcess
from twite.config.settings import Settings
from twite.console.application import Console
from twite.console.latest_replays import LatestReplays
from twite.console.page import Page, Reauthentication
from twite.console.pages.access import AuditPage, KeysPage, UsersPage
from twite.console.pages.account import AccountPage, CodesPage, SignInPage
from twite.console.pages.alerts import AlertsPage
from twite.console.pages.amounts import AmountsPage
from twite.console.pages.changes import ChangesPage
from twite.console.pages.connect import ConnectPage
from twite.console.pages.conversion import ConversionPage
from twite.console.pages.conversions import ConversionsPage
from twite.console.pages.deduplication import DeduplicationPage
from twite.console.pages.events import EventsPage
from twite.console.pages.export import ExportPage
from twite.console.pages.home import HomePage
from twite.console.pages.match_keys import MatchKeysPage
from twite.console.pages.pixels import PixelsPage, TestConversionPage
from twite.console.pages.problems import ProblemsPage
from twite.console.pages.replays import ReplaysPage
from twite.console.pages.results import ResultsPage
from twite.console.pages.sources import SourcesPage
from twite.console.pages.system import SystemPage
from twite.console.pages.test_mode import TestModePage
from twite.console.pages.webhooks import WebhooksPage
from twite.console.problem_finder import ProblemFinder
from twite.console.request_checks import RequestChecks
from twite.console.scope import EventNames
from twite.domain.destination import X_SOURCE, Destination
from twite.gateway.identity.accounts import Accounts
from twite.gateway.identity.authentication import Authentication, SessionTimes
from twite.gateway.identity.source_keys import SourceKeyStore
from twite.gateway.identity.two_factor import TwoFactor
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.dedup_rows import watched
from twite.http.addresses import Front
from twite.machine.seal import Argon2Passwords


def console(
    settings: Settings,
    parts: GatewayParts,
    accept: Accept,
    destinations: Mapping[str, Destination],
    front: Front,
) -> Console:
    """Return the console, with every page."""
    store, clock, names = parts.store, parts.clock, EventNames(destinations)
    passwords = parts.passwords or Argon2Passwords()
    user_accounts = Accounts(directory=store.people, passwords=passwords, clock=clock)
    authentication = Authentication(
        directory=store.people,
        passwords=passwords,
        clock=clock,
        secret_store=parts.secret_store,
        times=SessionTimes(idle=settings.console.idle, longest=settings.console.session),
    )
    confirming = Reauthentication(authentication)
    pixels = [destination.pixel for destination in settings.destinations()]
    sources = settings.sources()
    source_names = [source.name for source in sources]
    added = parts.feature.pages(settings)
    dry_run = parts.dry_run(settings, destinations)
    finder = ProblemFinder(queries=store, state=store)
    problems = ProblemsPage(
        destinations=destinations,
        sources=source_names,
        queries=store,
        state=store,
        finder=finder,
        dry_run=dry_run,
        latest_replays=LatestReplays(replay_records=parts.replays.records),
        names=names,
    )
    count = parts.dedup_count
    # In the order of the navigation.
    pages: tuple[Page, ...] = (
        HomePage(destinations=destinations, queries=store, state=store),
        ConversionsPage(
            destinations=destinations,
            sources=[*source_names, X_SOURCE],
            queries=store,
            finder=finder,
            clock=clock,
            count=count,
            names=names,
        ),
        ExportPage(
            destinations=destinations,
            queries=store,
            finder=finder,
            clock=clock,
            count=count,
            names=names,
        ),
        ConversionPage(
            count=count,
            watched=watched(sources),
            url=settings.server.public_url,
            queries=store,
            dry_run=dry_run,
            replays=parts.replays,
            names=names,
        ),
        ChangesPage(queries=store, state=store, clock=clock),
        # Before the problems: a problem's path would match its path, too.
        AmountsPage(
            destinations=destinations,
            guards={source.name: source.value_guard for source in sources},
            state=store,
            names=names,
        ),
        problems,
        ReplaysPage(
            destinations=destinations,
            finder=finder,
            replays=parts.replays,
            queries=store,
            dry_run=dry_run,
            moves=parts.moves,
            names=names,
        ),
        WebhooksPage(webhooks=settings.webhooks, sources=sources, state=store),
        MatchKeysPage(destinations=destinations, queries=store, names=names),
        DeduplicationPage(destinations=destinations, count=count, names=names),
        ResultsPage(read_results=reads_results(settings, store, clock, destinations), names=names),
        AlertsPage(
            state=store,
            destinations=destinations,
            send_test=None if settings.alerts.webhook is None else partial(send_trial, settings),
        ),
        PixelsPage(
            destinations=destinations,
            written=settings.destinations(),
            sources=sources,
            queries=store,
            state=store,
            runner=parts.runner,
        ),
        SourcesPage(
            sources=sources,
            destinations=destinations,
            webhooks=settings.webhooks,
            queries=store,
            state=store,
            key_store=None
            if parts.secret_store is None
            else SourceKeyStore(secret_store=parts.secret_store),
            take_up_keys=parts.reload.take_up_keys,
            reauthentication=confirming,
            url=settings.server.public_url or f"http://{settings.server.listen}",
        ),
        TestModePage(
            sources=sources,
            write=partial(_write_test_until, settings.path),
            reload=parts.reload,
        ),
        TestConversionPage(
            accept=accept, queries=store, destinations=destinations, sources=sources
        ),
        ConnectPage(
            sign_in=parts.sign_in,
            destinations=destinations,
            reauthentication=confirming,
        ),
        EventsPage(
            manager=events_manager(settings, destinations, note=store.people.note),
            destinations=destinations,
            sources=sources,
            reload=parts.reload,
            what_if=WhatIfProcess(settings=settings).of_mapping,
            is_shared=store.ownership is not None,
        ),
        *added.pages,
        SystemPage(
            facts=partial(system_facts, settings),
            syncs=parts.run_sync.list_syncs,
            exports=partial(list_exports, store, settings.exports),
            sources=sources,
            examine=parts.examine,
        ),
        UsersPage(
            user_accounts=user_accounts,
            reauthentication=confirming,
            pixels=pixels,
            directory=store.people,
            url=settings.console_url,
        ),
        KeysPage(user_accounts=user_accounts, reauthentication=confirming, pixels=pixels),
        AuditPage(directory=store.people),
        AccountPage(
            user_accounts=user_accounts,
            directory=store.people,
            authentication=authentication,
            reauthentication=confirming,
        ),
        CodesPage(
            second_factor=None
            if parts.secret_store is None
            else TwoFactor(directory=store.people, secret_store=parts.secret_store, clock=clock),
            authentication=authentication,
        ),
        SignInPage(authentication=authentication),
    )
    return Console(
        pages=pages,
        folders=added.folders,
        checks=RequestChecks(
            client_of=front.client,
            networks=settings.console.networks,
            url=settings.console.url or settings.server.public_url,
        ),
        authentication=authentication,
        directory=store.people,
        clock=clock,
        observer=parts.observer,
        known_as=settings.known_as,
        emulated=settings.x.emulator is not None,
        tested=[source for source in sources if source.test_until is not None],
    )


def _write_test_until(path: Path, source: str, until: int | None) -> None:
    from twite.config.test_until import write_test_until  # noqa: PLC0415  # few users need it

    write_test_until(path, source, until)
