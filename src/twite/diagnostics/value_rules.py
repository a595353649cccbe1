"""Diagnostics of rules for values: their tables, and copies of an event with different amounts."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Final

from twite.app.store_access import open_records
from twite.app.value_rules.table_files import TableFile, read_tables, rules_of
from twite.app.what_if.past_values import SentCopies, SentLately, sent_lately
from twite.config.settings import Settings
from twite.diagnostics.rule_copies import RuleCopies, Senders, events_of
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
    now = SystemClock().now()
    today = now // DAY
    try:
        async with open_records(settings) as records:
            since = today - _DAYS
            matched = await records.answer(MatchQuery(scope=QueryScope(), since=since))
            reports = await records.answer(DedupQuery(since=since * DAY))
            sent = await sent_lately(settings, records, now=now)
    except (StoreUnusable, TransientError):
        matched, reports, sent = [], [], SentLately()  # the check of the store reports why
    senders = _senders(settings, matched, reports, sent.fields)
    used_rules = rules_of(settings, files)
    for finding in _of_some_sources(settings, used_rules, senders):
        yield finding
    copies = RuleCopies(
        settings=settings, rules=used_rules, senders=senders, reports=reports, sent=sent
    )
    for finding in copies.findings():
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
        if rule.currency or "currency" in rule.fields():
            continue
        if rule.compares_amounts() and not rule.has_own_amounts():
            yield warning(
                "values",
                f"the rule {rule.name} compares an amount with a fixed number in any currency",
                "A threshold of 100 means another amount in JPY than in EUR.",
                "Add the currency to the condition: when = \"currency == 'EUR' && value > `100`\".",
            )
        if not rule.has_own_amounts():
            continue
        yield warning(
            "values",
            f"the rule {rule.name} calculates with a table or a fixed amount, and has no currency",
            "Its numbers apply to amounts in every currency: costs in EUR are subtracted from JPY.",
            'Add currency = "EUR" (that of the numbers) to the rule. If you sell in several '
            "currencies, also add when = \"currency == 'EUR'\", or the rule fails for the others.",
        )


def _senders(
    settings: Settings,
    matched: Iterable[Matched],
    reports: Iterable[DedupReport],
    sent: Iterable[SentCopies],
) -> Senders:
    found: dict[tuple[str, str], set[str]] = {}
    # Matches count only copies that came first; stored requests also show those that came second.
    for copies in sent:
        found.setdefault((copies.pixel, copies.event), set()).add(copies.source)
    for each in matched:
        if not is_test(each.source) and each.matching.conversions:
            found.setdefault((each.pixel, each.event), set()).add(each.source)
    for report in reports:
        if report.page_and_server:
            # The report does not say which sources.
            found.setdefault((report.pixel, report.event), set()).update(
                source.name for source in settings.submitters if report.pixel in source.pixels
            )
    return found


def _of_some_sources(
    settings: Settings, rules: ValueRules, senders: Senders
) -> Iterator[CheckFinding]:
    for pixel, event, name in events_of(settings):
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


def _of_x_pixel(
    settings: Settings, rules: ValueRules, reports: Iterable[DedupReport]
) -> Iterator[CheckFinding]:
    """Yield events that X's pixel in pages sends, too, with an amount that no rule changes."""
    reported = {
        (report.pixel, report.event) for report in reports if report.both or report.pixel_only
    }
    for pixel, event, name in events_of(settings):
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
