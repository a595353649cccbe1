"""`twite what-if`: decide again about past conversions, by the settings of another file.

It reads the store beside a running gateway, or a backup, in a process of its own.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from twite.app.store_access import open_records
from twite.app.value_rules.table_files import read_tables, readable
from twite.config.difference import SettingsChange, difference
from twite.config.settings import Settings
from twite.gateway.what_if.candidate_reader import CandidateReader
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.report import UnusedSetting, WhatIfReport
from twite.gateway.what_if.run import ReadsRequests, WhatIf, rejections_of
from twite.machine.forked_workers import forked, workers_here
from twite.machine.system import ShortBursts, SystemClock, YieldingPause

# Keys of a source, of a pixel and of all other tables that decide about stored conversions.
_APPLIED: Final[Mapping[str, frozenset[str]]] = {
    "source": frozenset({"pixel", "pixels", "events", "value_guard", "test_until", "consent"}),
    "pixel": frozenset({"events", "value_guard"}),
}
_ALL_APPLIED: Final = frozenset({"value_rule", "value_table"})
# Why a change cannot be applied, by its table and key.
_REASONS: Final[Mapping[tuple[str, str], str]] = {
    ("source", "region"): "phone numbers are stored as hashes, so they cannot be read again",
    ("source", "wait"): "ids of users and visitors are not stored, so nothing is joined again",
    ("source", "browser_value_limit"): "it is applied only to what the script sent: for other "
    "formats, whether a page sent a conversion is not stored",
    ("source", "consent_policy.segment_categories"): "the categories of Segment's calls are not "
    "stored, only what they meant",
}
_WEBHOOK: Final = "messages of webhooks are not stored, only the conversions that were made of them"
_SYNC: Final = "rows and files are not stored, only the conversions that were made of them"
_TABLES: Final = {"webhook": _WEBHOOK, "sync": _SYNC}
_NO_EFFECT: Final = "it does not decide about conversions that have been received"
# They decide, although a gateway reads them only at its start.
_APPLIED_AT_START: Final = frozenset({"store.dedup_window", "x.restricted_data_use"})


async def what_if(
    current_settings: Settings,
    new_settings: Settings,
    *,
    since: int,
    until: int,
    most: int | None = None,
    within: float | None = None,
) -> WhatIfReport:
    """Return what would have been different, in a range of times in milliseconds.

    It ends after `most` conversions, or `within` seconds, with what it has compared by then. What
    was received before the range gets at most half of the seconds.
    The store is that of the current settings. Raises SettingsError, StoreUnusable,
    LedgerUnavailable.
    """
    is_half_over = deadline(None if within is None else within / 2)
    is_over = deadline(within)
    new, current = intake_settings(new_settings), intake_settings(current_settings)
    async with open_records(current_settings) as records:
        salt, rejections = records.salt, await rejections_of(records, new, since)
    reader = CandidateReader(
        new_settings=new,
        current_settings=current,
        salt=salt,
        rejections=rejections,
        breathe=ShortBursts(),
    )
    # The store is closed, because its threads do not continue in forked processes.
    async with _reading(reader) as (read, ahead), open_records(current_settings) as records:
        run = WhatIf(
            new_settings=new,
            current_settings=current,
            queries=records,
            rejections=rejections,
            read=read,
            ahead=ahead,
            now=SystemClock().now,
            is_half_over=is_half_over,
            is_over=is_over,
            breathe=ShortBursts(),
        )
        return await run.run(
            since=since,
            until=until,
            most=most,
            not_applied=tuple(_not_applied(current_settings, new_settings)),
        )


def deadline(within: float | None) -> Callable[[], bool]:
    """Return a function that tells whether so many seconds are over; never, if it is None."""
    if within is None:
        return lambda: False
    over_at = time.monotonic() + within
    return lambda: time.monotonic() >= over_at


@asynccontextmanager
async def _reading(reader: CandidateReader) -> AsyncIterator[tuple[ReadsRequests, int]]:
    """Read requests in as many processes as there are CPUs, or in this one, with pauses."""
    count = workers_here()
    if count:
        async with forked(reader.read_encoded, count) as workers:
            yield workers.call, 2 * count
        return
    pause = YieldingPause()

    async def read(message: bytes) -> bytes:
        await pause()
        return reader.read_encoded(message)

    yield read, 1


def with_events(settings: Settings, pixel: str, events: Mapping[str, str]) -> Settings:
    """Return the settings with names that are mapped to other events of a pixel."""
    return msgspec.structs.replace(
        settings,
        pixels=tuple(
            msgspec.structs.replace(each, events={**each.events, **events})
            if each.pixel == pixel
            else each
            for each in settings.pixels
        ),
    )


def intake_settings(settings: Settings) -> IntakeSettings:
    """Return the settings by which intake decides."""
    return IntakeSettings.of(
        sources=settings.sources(),
        destinations=settings.destinations(),
        dedup_window=settings.store.dedup_window,
        rules=settings.value_rules,
        # Rules that need an unreadable table fail, as at intake.
        tables=readable(read_tables(settings)),
    )


def _not_applied(current_settings: Settings, new_settings: Settings) -> Iterator[UnusedSetting]:
    """Yield the changed settings that do not take part, with the reasons."""
    found = difference(current_settings, new_settings)
    # A reload takes nothing from settings for another X. What-if does.
    same_x = msgspec.structs.replace(new_settings, x=current_settings.x)
    for change in difference(current_settings, same_x).changes:
        yield from _of_change(change)
    for key in found.restart:
        if key not in _APPLIED_AT_START:
            yield UnusedSetting(setting=key, reason=_NO_EFFECT)


def _of_change(change: SettingsChange) -> Iterator[UnusedSetting]:
    table, name = change.table, f"{change.table} {change.name}"
    if table in _ALL_APPLIED:
        return
    if table in _TABLES or table not in _APPLIED:
        yield UnusedSetting(setting=str(change), reason=_TABLES.get(table, _NO_EFFECT))
        return
    for key in change.keys:
        reason = _REASONS.get((table, key))
        is_applied = key in _APPLIED[table] or key.startswith("consent_policy.")
        if reason is not None or not is_applied:
            yield UnusedSetting(setting=f"{name}: {key}", reason=reason or _NO_EFFECT)
