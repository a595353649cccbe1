"""Diagnostics of rules for values: their tables, and copies of an event with different amounts."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Final

from twite.app.store_access import open_records
from twite.app.value_rules.table_files import TableFile, read_tables, rules_of
from twite.config.settings import Settings
from twite.domain.errors import StoreUnusable, TransientError
from twite.domain.plural import plural
from twite.domain.stats.deduplication import DedupReport
from twite.domain.stats.match_keys import Matched
from twite.domain.test_mode import is_test
from twite.domain.times import DAY
from twite.formats.value_rules import ValueRules
from twite.gateway.ports.findings import CheckFinding, passed, warning
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import DedupQuery, MatchQuery
from twite.machine.system import SystemClock

_DAYS: Final = 7
# What rules read beside the amount and the currency. A page and a server may differ in them.
_DIFFERING: Final = frozenset(
    {"contents", "description", "new_customer", "quantity", "search", "shipping", "tax", "url"}
)
# The sources that sent an event (pixel, X's id) lately.
_Senders = Mapping[tuple[str, str], set[str]]


async def value_rules(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check tables, and whether the copies of an event would have the same amount.

    Which sources and pages send an event is read from the store, for the last seven days.
    """
    if not settings.value_rules:
        return
    files = await asyncio.to_thread(read_tables, settings)
    problems = list(_tables(files))
    for problem in problems:
        yield problem
    if not problems:
        rules, tables = plural(len(settings.value_rules), "rule"), plural(len(files), "table")
        yield passed("values", f"{rules} for values, {tables}")
    for finding in _without_currency(settings):
        yield finding
    today = SystemClock().now() // DAY
    try:
        async with open_records(settings) as records:
            since = today - _DAYS
            matched = await records.answer(MatchQuery(scope=QueryScope(), since=since))
            reports = await records.answer(DedupQuery(since=since * DAY))
    except (StoreUnusable, TransientError):
        matched, reports = [], []  # the check of the store reports why
    senders = _senders(settings, matched, reports)
    used_rules = rules_of(settings, files)
    for finding in _of_some_sources(settings, used_rules, senders):
        yield finding
    for finding in _of_differing_copies(settings, used_rules, senders, reports):
        yield finding
    for finding in _of_x_pixel(settings, used_rules, reports):
        yield finding


def _tables(files: Mapping[str, TableFile]) -> Iterator[CheckFinding]:
    for name, file in files.items():
        if file.problem:
            yield warning(
                "values",
                f"the table {name} cannot be read: {file.problem}",
                "Rules that read it fail, and amounts stay as they are. twite reload refuses it.",
                "Correct the file. A running gateway reads it again within seconds.",
            )
        elif file.table is not None and not file.table.rows:
            yield warning(
                "values",
                f"the table {name} has no rows: {file.path}",
                "Rules that look ids up in it fail, and amounts stay as they are.",
                "Write a row for each id below the line with the names.",
            )


def _without_currency(settings: Settings) -> Iterator[CheckFinding]:
    for rule in settings.value_rules:
        if rule.currency or "currency" in rule.fields() or not rule.has_own_amounts():
            continue
        yield warning(
            "values",
            f"the rule {rule.name} calculates with a table or a fixed amount, and has no currency",
            "Its numbers apply to amounts in every currency: costs in EUR are subtracted from JPY.",
            'Add currency = "EUR" (that of the numbers) to the rule. If you sell in several '
            "currencies, also add when = \"currency == 'EUR'\", or the rule fails for the others.",
        )


def _senders(
    settings: Settings, matched: Iterable[Matched], reports: Iterable[DedupReport]
) -> _Senders:
    found: dict[tuple[str, str], set[str]] = {}
    for each in matched:
        if not is_test(each.source) and each.matching.conversions:
            found.setdefault((each.pixel, each.event), set()).add(each.source)
    for report in reports:
        if report.page_and_server:
            # The copies that came second are not counted by source.
            found.setdefault((report.pixel, report.event), set()).update(
                source.name for source in settings.submitters if report.pixel in source.pixels
            )
    return found


def _of_some_sources(
    settings: Settings, rules: ValueRules, senders: _Senders
) -> Iterator[CheckFinding]:
    for pixel, event, name in _events(settings):
        sources = sorted(senders.get((pixel, event), ()))
        applying = {
            source: [rule.name for rule in rules.of(source=source, pixel=pixel, event=event)]
            for source in sources
        }
        for rule in rules.rules:
            having = [source for source in sources if rule.name in applying[source]]
            lacking = [source for source in sources if source not in having]
            if having and lacking:
                yield warning(
                    "values",
                    f"the rule {rule.name} applies to {name} of pixel {pixel} from "
                    f"{', '.join(having)}, but not from {', '.join(lacking)}",
                    "If both send the same conversion, its amount depends on which copy arrives "
                    "first.",
                    "Remove sources from the rule, or add the others to it.",
                )


def _of_differing_copies(
    settings: Settings, rules: ValueRules, senders: _Senders, reports: Iterable[DedupReport]
) -> Iterator[CheckFinding]:
    """Yield rules that read what the page's copy of an event may have, and the server's not."""
    pages = {source.name for source in settings.submitters if source.origins}
    both = {(report.pixel, report.event) for report in reports if report.page_and_server}
    for rule in rules.rules:
        fields = rule.fields() & _DIFFERING
        if "contents" in fields:
            fields -= {"quantity"}  # of a line
        names = []
        for pixel, event, name in _events(settings):
            sources = senders.get((pixel, event), set())
            is_sent_twice = (pixel, event) in both or (sources & pages and sources - pages)
            if is_sent_twice and all(
                rule in rules.of(source=source, pixel=pixel, event=event) for source in sources
            ):
                names.append(f"{name} of pixel {pixel}")
        if fields and names:
            yield warning(
                "values",
                f"the rule {rule.name} reads {', '.join(sorted(fields))}, and pages and servers "
                f"send {', '.join(names)}",
                "If only one of the two copies has what the rule reads, the amount depends on "
                "which copy arrives first.",
                "Send the same fields from both, or let only the server send the event.",
            )


def _of_x_pixel(
    settings: Settings, rules: ValueRules, reports: Iterable[DedupReport]
) -> Iterator[CheckFinding]:
    """Yield events that X's pixel in pages sends, too, with an amount that no rule changes."""
    reported = {
        (report.pixel, report.event) for report in reports if report.both or report.pixel_only
    }
    for pixel, event, name in _events(settings):
        pages = [
            source
            for source in settings.submitters
            if source.origins and source.x_pixel != "off" and pixel in source.pixels
        ]
        is_loaded = any(source.x_pixel == "load" for source in pages)
        if not pages or not (is_loaded or (pixel, event) in reported):
            continue
        found = dict.fromkeys(
            rule.name
            for source in settings.submitters
            for rule in rules.of(source=source.name, pixel=pixel, event=event)
        )
        if found:
            yield warning(
                "values",
                f"X's pixel in pages sends {name} of pixel {pixel} with its own amount, and the "
                f"gateway's copy has that of the rule {', '.join(found)}",
                "X keeps one of the two copies, and does not say which.",
                'Set x_pixel = "off" for the source of the pages, or leave the amount out of the '
                "call of X's pixel.",
            )


def _events(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield each event once, as (pixel, X's id, its first name)."""
    for destination in settings.destinations():
        names: dict[str, str] = {}
        for name, event in destination.events.items():
            names.setdefault(event, name)
        for event, name in names.items():
            yield destination.pixel, event, name
