"""A delivery run that shares its store, with scripted ownership of accounts."""

import asyncio

import msgspec

from builders import a_destination, a_submission, an_entry
from fakes import taken
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.ownership import SHARE_OUT_EVERY, News
from worker_bench import Setting

AWAY = LedgerUnavailable(reason="the database is down", retry_after=5)


def of_account(account, pixel):
    return msgspec.structs.replace(a_destination(pixel=pixel), account=account)


async def queued_elsewhere(setting, pixel, *ids):
    """Record conversions without waking the worker, as another gateway does."""
    entries = [an_entry(id_, pixel=pixel, index=index) for index, id_ in enumerate(ids)]
    await setting.store.record(a_submission(*entries, received_at=setting.steady.now()))


class ScriptedOwnership:
    """Ownership decided by a test: which accounts are `due` to this gateway, or lost (None)."""

    def __init__(self, *due):
        self.due = frozenset(due)
        self.calls = []
        self.known = {}
        self.failures = {}
        self.is_leader = True
        self.sends = True
        self.next_refresh = SHARE_OUT_EVERY
        self.next_news = 10 * SHARE_OUT_EVERY
        self.ready = {}
        self.versions = {}
        self.idle = []
        self.renewed = 0

    def _note(self, name):
        self.calls.append(name)
        if self.failures.get(name, 0):
            self.failures[name] -= 1
            raise AWAY

    async def join(self, accounts, *, longest_request):
        self._note("join")
        self.known = dict(accounts)
        self.longest_request = longest_request

    async def refresh(self):
        self._note("refresh")
        return self.due

    async def renew(self):
        self.renewed += 1

    async def news(self, idle):
        self._note("news")
        self.idle.append({pixel: set(events) for pixel, events in idle.items()})
        return News(ready=frozenset(self.ready) & idle.keys(), versions=self.versions)

    async def announce(self, what):
        self.versions[what] = self.versions.get(what, 0) + 1

    async def give_up(self, accounts):
        self._note(f"give up {', '.join(accounts)}")

    async def leave(self):
        self._note("leave")

    def may_send(self):
        return self.sends


class SharedSetting(Setting):
    """Two pixels of one account, and a third pixel without an account, on a shared store."""

    def __init__(self, *due):
        self.ownership = ScriptedOwnership(*due)
        super().__init__(
            destinations=[
                of_account("a", "p1"),
                of_account("a", "p2"),
                a_destination(pixel="p3"),
            ],
            worker_config=WorkerConfig(linger=0),
        )
        self.answer = asyncio.Event()
        self.answer.set()
        self.transport.post = self._post

    def new_run(self):
        run = super().new_run()
        run.ownership = self.ownership
        run.longest_request = 15 * SECOND
        return run

    async def _post(self, outbound):
        self.transport.sent.append(outbound)
        await self.answer.wait()
        return taken(outbound)

    async def shared_out(self):
        await self.clock.advance(SHARE_OUT_EVERY)

    def gave_up(self):
        return [call for call in self.ownership.calls if call.startswith("give up")]
