"""Fetch X's results of each signed-in ads account every hour, and report the warnings about them.

On PostgreSQL, only the leader of the gateways fetches. The accounts of one user are fetched one by
one, because they share X's limit.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from twite.app.logins import ask_x
from twite.app.results.connect import results_reader
from twite.app.store_access import may_send
from twite.config.settings import Settings
from twite.domain.destination import Destination, OAuthKeys
from twite.domain.errors import LedgerUnavailable
from twite.domain.results.warnings import WARNINGS, ResultsWarning
from twite.domain.times import MINUTE, SECOND
from twite.gateway.operations.schedule_loop import ScheduleLoop
from twite.gateway.ports.events import (
    ConditionChanged,
    Observer,
    ProblemPlace,
    ProblemSeen,
    ResultsFailed,
)
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.store import Store
from twite.gateway.results.back_fill import FetchBasis
from twite.gateway.results.fetch import (
    ResultsFetch,
    accounts_by_user,
    signed_in_accounts,
    user_wait,
)
from twite.gateway.results.records import load_account
from twite.gateway.x_account.ads_statistics import AdsStatistics
from twite.gateway.x_account.inquiries import XInquiries
from twite.gateway.x_account.patient_inquiries import (
    PatientInquiries,
    XWait,
    request_budget,
)

# Figures arrive by the hour, but warnings may also end because of what was received meanwhile.
_JUDGE_EVERY: Final = 10 * MINUTE


class SettingsOfResults(Protocol):
    """The settings in use, and the pixels with their stored credentials."""

    @property
    def settings(self) -> Settings: ...
    @property
    def destinations(self) -> Mapping[str, Destination]: ...


class ResultsSchedule(ScheduleLoop):
    """Fetches results, by user. What was fetched is stored, and the rest is fetched again."""

    place = ProblemPlace.RESULTS
    every = 10 * SECOND

    def __init__(
        self,
        store: Store,
        clock: Clock,
        observer: Observer,
        *,
        in_use: Callable[[], SettingsOfResults],
        inquiries: XInquiries | None = None,
    ) -> None:
        """`inquiries` asks X; None for X's address in the settings."""
        super().__init__(store, clock, observer)
        self._in_use = in_use
        self._inquiries = inquiries
        self._budget = request_budget()
        self._judged_at: int | None = None
        # The reason of each warning that this process has reported; "" if it does not hold.
        self._reported: dict[tuple[str, str], str] = {}

    async def _look(self, *, leads: bool) -> None:
        if not leads:
            return
        with suppress(LedgerUnavailable):  # the workers report the failure
            await self._judge()
        for token, accounts in accounts_by_user(self._accounts()).items():
            if token not in self._runs:
                self._begin(token, self._fetch(accounts))

    def _accounts(self) -> Mapping[str, OAuthKeys]:
        in_use = self._in_use()
        if not in_use.settings.results.fetch:
            return {}
        return signed_in_accounts(in_use.destinations.values())

    async def _fetch(self, accounts: Mapping[str, OAuthKeys]) -> None:
        for account, keys in accounts.items():
            try:
                if await user_wait(self._store, accounts, now=self._clock.now()):
                    return
                if await self._fetch_of(account, keys).run():
                    self._judged_at = None
                    if (await load_account(self._store, account)).problem:
                        self._observer.see(ResultsFailed(account=account))
            except LedgerUnavailable:
                return
            except Exception as error:  # noqa: BLE001  a bug must not end the schedule
                self._observer.see(ProblemSeen.of(ProblemPlace.RESULTS, error))
                await self._clock.sleep(MINUTE)

    def _fetch_of(self, account: str, keys: OAuthKeys) -> ResultsFetch:
        in_use = self._in_use()
        asked = self._inquiries or ask_x(in_use.settings)
        pixels = {
            pixel
            for pixel, destination in in_use.destinations.items()
            if destination.account == account
        }
        fetch: ResultsFetch

        async def note_wait(wait: XWait) -> None:
            await fetch.note_wait(wait)

        patient = PatientInquiries(
            inquiries=asked.inquiries,
            clock=self._clock,
            randomness=asked.randomness,
            address=asked.address,
            user=keys.token,
            budget=self._budget,
            leads=may_send(self._store),
            note_wait=note_wait,
        )
        fetch = ResultsFetch(
            account,
            AdsStatistics(patient, keys, account),
            pixels,
            FetchBasis(
                state=self._store,
                queries=self._store,
                clock=self._clock,
                history=in_use.settings.results.history,
                history_kept=in_use.settings.store.keeping.history,
            ),
        )
        return fetch

    async def _judge(self) -> None:
        """Report the warnings that have begun or ended."""
        now = self._clock.elapsed()
        if self._judged_at is not None and now < self._judged_at + _JUDGE_EVERY:
            return
        self._judged_at = now
        in_use = self._in_use()
        reader = results_reader(self._store, in_use.settings, tuple(in_use.destinations.values()))
        self._report(reader.accounts, await reader.warnings(now=self._clock.now()))
        for account in self._accounts():
            self._observer.see(await reader.checked(account, now=self._clock.now()))

    def _report(self, accounts: Sequence[str], warnings: Sequence[ResultsWarning]) -> None:
        holding = {(warning.kind, warning.account): warning.fact for warning in warnings}
        gone = [account for _, account in self._reported if account not in accounts]
        for account in dict.fromkeys([*accounts, *gone]):
            for kind in WARNINGS:
                reason = holding.get((kind, account), "")
                # The first report also resolves an alert from before a restart.
                if self._reported.get((kind, account)) == reason:
                    continue
                self._reported[kind, account] = reason
                self._observer.see(
                    ConditionChanged(kind=kind, subject=account, reason=reason, holds=bool(reason))
                )
