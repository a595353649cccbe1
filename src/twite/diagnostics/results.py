"""Diagnostics of X's results: whether they are fetched, warnings, and one day of statistics."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Final

from twite.app.logins import ask_x, stored
from twite.app.results.connect import results_reader
from twite.app.store_access import open_records
from twite.config.settings import Settings
from twite.domain.destination import OAuthKeys
from twite.domain.errors import TwiteError, XUnanswering
from twite.domain.plural import plural
from twite.domain.results.account import ResultsAccount
from twite.domain.results.account_days import days_until, granularity_of
from twite.domain.results.account_results import CurrencyResult, EventResult
from twite.domain.results.figures import FigureGroup, ResultCell, ResultDay
from twite.domain.results.report import ReportBasis, account_results, rounded
from twite.domain.results.stats_request import MOST_ENTITIES, PLACEMENTS, StatsRequest
from twite.domain.results.warnings import usually_uncounted, warnings_of
from twite.domain.times import HOUR, SECOND, spelled
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning
from twite.gateway.results.back_fill import zone_of
from twite.gateway.results.fetch import accounts_by_user, signed_in_accounts, user_wait
from twite.gateway.results.records import load_accounts
from twite.gateway.x_account.ads_statistics import AdsStatistics
from twite.machine.system import SystemClock
from twite.redaction.mask_tree import masked_words

# Results are fetched every hour: later, something is wrong.
_LATE: Final = 3 * HOUR


async def results(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Report how X's results of each account are, and the warnings about them."""
    now = SystemClock().now()
    try:
        pixels = await stored(settings)
        async with open_records(settings) as records:
            reader = results_reader(records, settings, pixels)
            found = await load_accounts(records, reader.accounts)
            bases = await reader.bases(now=now)
    except TwiteError:
        return  # other checks report what cannot be read
    signed_in = signed_in_accounts(pixels) if settings.results.fetch else {}
    for account in found:
        if account.account in signed_in:
            for finding in _of_fetches(account, now=now):
                yield finding
    for basis in bases:
        uncounted = usually_uncounted(basis)
        if uncounted and basis.account.account in signed_in:
            yield passed(
                "results",
                f"ads account {basis.account.account}: no campaign that spends counts "
                f"{uncounted}. X reports such events, and optimizes for others",
            )
    for each in (found for basis in bases for found in warnings_of(basis)):
        yield warning(
            "results",
            f"ads account {each.account}: {each.fact}. {each.effect}",
            "What X attributes or counts does not fit what Twite delivers.",
            "Run twite results. twite alerts names the page with what to do.",
        )


def _of_fetches(account: ResultsAccount, *, now: int) -> Iterator[CheckFinding]:
    if account.unreadable:
        yield _not_read(account.account, account.unreadable)
    if account.problem:
        yield warning(
            "results",
            f"the results of ads account {account.account} are not current: "
            f"{masked_words(account.problem)}",
            "The report shows older figures. Deliveries are not affected.",
            "Correct the cause that it names, or wait. Twite tries again within an hour.",
        )
    elif account.hourly_at and account.hourly_at < now - _LATE:
        yield warning(
            "results",
            f"the results of ads account {account.account} were last fetched "
            f"{spelled(account.hourly_at)}",
            "The report shows older figures.",
            "Check that the gateway runs. It fetches results every hour.",
        )
    elif account.hourly_at:
        yield passed(
            "results", f"ads account {account.account}: fetched {spelled(account.hourly_at)}"
        )


async def live_results(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Ask X for the statistics of yesterday, and report what cannot be read."""
    try:
        accounts = signed_in_accounts(await stored(settings))
        waits = await _stored_waits(settings, accounts)
    except TwiteError:
        return
    if not accounts:
        yield warning(
            "results",
            "no ads account has a user who has signed in with OAuth",
            "X shows results only to such a user, and not to a pixel token.",
            "Set pixel.account, and run twite login.",
        )
    for account, keys in accounts.items():
        try:
            if not waits.get(keys.token):
                async for finding in _live(settings, account, keys):
                    yield finding
        except XUnanswering as error:
            if error.is_named:
                # Not stored: a check changes nothing.
                waits[keys.token] = SystemClock().now() + error.retry_after * SECOND
            else:
                yield failed(
                    "results",
                    f"ads account {account}: {error}",
                    "Twite cannot fetch X's results now.",
                    "Check that this machine reaches x.api_url, or wait until X answers again, "
                    "then run twite check --live.",
                )
        except TwiteError as error:
            yield failed(
                "results",
                f"ads account {account}: {error}",
                "Twite cannot fetch X's results.",
                "Correct the cause, then run twite check --live.",
            )
        until = waits.get(keys.token)
        if until:
            yield warning(
                "results",
                f"ads account {account}: X asks its user to send no request before "
                f"{spelled(until)}",
                "Twite asks nothing for this user. X can withdraw the access of who ignores this.",
                "Wait until then, with other programs of this user as well. Then run twite check "
                "--live.",
            )


async def _stored_waits(settings: Settings, accounts: Mapping[str, OAuthKeys]) -> dict[str, int]:
    """Return when each user, by token, may ask X again (ms); 0 for at once."""
    if not settings.store.exists:
        return {}
    async with open_records(settings) as records:
        now = SystemClock().now()
        return {
            token: await user_wait(records, own, now=now)
            for token, own in accounts_by_user(accounts).items()
        }


async def _live(settings: Settings, account: str, keys: OAuthKeys) -> AsyncIterator[CheckFinding]:
    now = SystemClock().now()
    asks = AdsStatistics(ask_x(settings), keys, account)
    catalog = await asks.catalog()
    zone = zone_of(catalog.zone)
    day, today = days_until(now, 2, zone)
    active = await asks.active(start=day.start, end=today.start)
    campaigns = [each.campaign for each in active] or [each.id for each in catalog.campaigns]
    campaigns = sorted(set(campaigns))[:MOST_ENTITIES]
    if not campaigns:
        yield warning(
            "results",
            f"ads account {account} has no campaigns, so no statistics were read",
            "Nothing is known about how X answers.",
            "Check pixel.account. Repeat this check when the account has a campaign.",
        )
        return
    cells: list[ResultCell] = []
    unreadable: dict[str, None] = {}
    for placement in PLACEMENTS:
        for group in FigureGroup:
            request = StatsRequest.of(
                [day],
                granularity_of([day], now=now, zone=zone),
                zone,
                campaigns=campaigns,
                placement=placement,
                group=group,
            )
            read = await asks.stats(request)
            cells += read.cells[0]
            unreadable |= dict.fromkeys(read.unreadable)
    if unreadable:
        yield _not_read(account, unreadable)
    known = ResultsAccount(account=account, campaigns=catalog.campaigns)
    basis = ReportBasis(account=known, unit=settings.results.sale_amount_unit, cut_over=None)
    stored_day = ResultDay.of(day).with_cells(cells, fetched_at=now)
    found = account_results(basis, [stored_day])
    [shown] = found.days
    parts = shown.by_currency or (
        CurrencyResult(currency=found.currency, spend=shown.spend, events=shown.events),
    )
    figures = "; ".join(
        f"{_attributed(part.events, part.currency)}, spend {_amount(part.spend, part.currency)}"
        for part in parts
    )
    yield passed(
        "results",
        f"ads account {account}: {plural(len(campaigns), 'campaign')} on {day.day} "
        f"({catalog.zone}). {figures}. Compare with Ads Manager",
    )


def _not_read(account: str, unreadable: Iterable[str]) -> CheckFinding:
    figures = "; ".join(map(masked_words, unreadable))
    return warning(
        "results",
        f"ads account {account}: cannot read {figures}",
        "These figures are missing in the report.",
        "Report it with this line: X's answer has a form that Twite does not know.",
    )


def _attributed(events: Iterable[EventResult], currency: str) -> str:
    parts = [
        f"{event.attributed or 0} {event.event_type}"
        + (f" of {_amount(event.sale_amount, currency)}" if event.sale_amount else "")
        for event in events
    ]
    return f"Attributed: {', '.join(parts)}" if parts else "No figures of conversions"


def _amount(amount: str | None, currency: str) -> str:
    return "none" if amount is None else f"{rounded(amount, currency)} {currency}".strip()
