"""Nodes: the gateways that share a database, their leases, and the accounts that each one owns.

Each node has one row with a lease. The node renews the lease, and before each request it checks by
its own clock that the lease has not expired. When a lease has been expired for as long as a request
may take, another node fences its owner by deleting the row. Only then are the deliveries that the
fenced node had claimed queued again, and its accounts taken over. The id of a node is never reused.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Final

import msgspec

from twite.domain.errors import LedgerUnavailable
from twite.domain.times import SECOND
from twite.gateway.ports.events import Observer
from twite.gateway.ports.ownership import SHARE_OUT_EVERY, GatewayCondition, News
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.driver.connection import PostgresConnection
from twite.stores.postgres.driver.errors import is_lock_timeout
from twite.stores.postgres.session import PostgresSession
from twite.stores.postgres.waits import OwnershipWaits
from twite.stores.sql import outbox

# How long a lease lasts, in milliseconds. With requests of at most 15 s (the default), another node
# takes over within 25 s.
LEASE: Final = 8 * SECOND
# Added to the end of the lease and the longest request, because clocks run at slightly different
# speeds.
_MARGIN: Final = SECOND // 2
# Milliseconds after a lapse of its own lease, or a migration, during which a node fences no other:
# the others must renew their leases and settle first.
_OTHERS_FIRST: Final = 2 * SHARE_OUT_EVERY
# How long the division of the accounts waits for a lock, in milliseconds. A gateway that was cut
# off may keep one for seconds, and the own lease must not expire meanwhile.
LOCK_PATIENCE: Final = LEASE // 4
# How long a node queues claims of dead nodes before it looks after the accounts again, in seconds.
REQUEUE_FOR: Final = 1.0
_SOON: Final = 50  # milliseconds between two checks of a node that is about to be fenced
# Milliseconds between two checks for deliveries that other gateways have queued. The checks use at
# most this share of the time.
_LOOK_EVERY: Final = SECOND // 5
_LOOKING: Final = 1 / 10
_AGAIN: Final = 0.1  # seconds between two checks of whether the others have read the list
LEADER: Final = "#leader"
_FURTHEST: Final = 1 << 62

_Accounts: Final = msgspec.json.Decoder(list[str])
_Conditions: Final = msgspec.json.Decoder(list[GatewayCondition])
_Versions: Final = msgspec.json.Decoder(dict[str, int])


class NotOwner(Exception):
    """Another node owns the account, this node was fenced, or a user has paused the pixel."""


class PostgresOwnership:
    """Implements Ownership."""

    def __init__(
        self, database: PostgresDatabase, *, name: str, version: str, observer: Observer
    ) -> None:
        """`name` and `version` are shown to operators."""
        self._database = database
        self._waits = OwnershipWaits(database, observer)
        self._late = 0.0  # how long a node has been due to be fenced, in seconds
        self.name = name
        self._version = version
        self._accounts: Mapping[str, str] = {}
        self._until = 0.0  # the end of the lease, by `boot_time`
        self._owned: frozenset[str] = frozenset()
        self._renew_from = 0.0  # when `renew` renews it, by `boot_time`
        self._is_fenced = False
        self._due = 0.0  # the time of the next refresh, by `boot_time`
        self._fences_from = 0.0  # by `boot_time`
        self.next_news = SHARE_OUT_EVERY
        self._conditions: Sequence[GatewayCondition] = ()
        self._others: Sequence[GatewayCondition] | None = None

    @property
    def is_leader(self) -> bool:
        return LEADER in self._owned

    def report(self, conditions: Sequence[GatewayCondition]) -> None:
        self._conditions = tuple(conditions)

    def reported(self) -> Sequence[GatewayCondition] | None:
        return self._others

    def may_send(self) -> bool:
        return self.node == 0 or (not self._is_fenced and boot_time() < self._until)

    def may_prune(self) -> bool:
        """Whether this process prunes: the leader, or a process that has not joined."""
        return self.node == 0 or self.is_leader

    @property
    def next_refresh(self) -> int:
        return max(_SOON, int((self._due - boot_time()) * SECOND))

    @property
    def node(self) -> int:
        """The id of this node, or 0 before it has joined."""
        return self._database.node

    def account(self, pixel: str) -> str:
        return self._accounts.get(pixel, pixel)

    def check(self, session: PostgresSession, pixel: str) -> None:
        """Lock the ownership of a pixel's account until the end of a claim. Raises NotOwner."""
        if self.node == 0:
            return  # a process without workers, such as a command
        if session.run("check_owner", account=self.account(pixel)).fetchone() is None:
            raise NotOwner
        if session.run("check_pause", pixel=pixel).fetchone()[0]:
            raise NotOwner

    async def join(self, accounts: Mapping[str, str], *, longest_request: int) -> None:
        self._accounts = dict(accounts)
        distinct = msgspec.json.encode(sorted({*accounts.values()})).decode()
        known = {"accounts": distinct, "longest_request": longest_request}
        if self.node == 0 or self._is_fenced:
            await self._join(known)
        else:
            await self._database.write(lambda session: session.run("know_accounts", **known))

    async def refresh(self) -> frozenset[str] | None:
        refreshed = await self._waits.watched(self._refreshed())
        await self._waits.report_late(self._late, locked=boot_time() >= self._fences_from)
        return refreshed

    async def _refreshed(self) -> frozenset[str] | None:
        began = boot_time()
        self._waits.step = "renewing the lease"
        if not await self._renew():
            self._owned = frozenset()
            return None
        self._waits.step = "dividing the accounts among the gateways"
        try:
            owned, mine = await self._database.write(self._fence_and_share_out, reserved=True)
            self._owned = owned & mine
            self._due = min(began + SHARE_OUT_EVERY / SECOND, self._due)
            await self._requeue()
        except LedgerUnavailable as error:
            if not is_lock_timeout(error):
                raise
            # The lease must be renewed before the next try.
            self._due = boot_time()
        return self._owned - {LEADER}

    async def _requeue(self) -> None:
        """Queue again what nodes that no longer exist had claimed, a few leases at a time.

        A node may have had a lease for each of hundreds of accounts. Their new owners need not wait
        until all are queued.
        """
        self._waits.step = "queueing the claims of a dead gateway again"
        until = boot_time() + REQUEUE_FOR
        while await self._database.write(_requeued, reserved=True):
            if boot_time() >= until:
                self._due = boot_time()
                return

    async def renew(self) -> None:
        if self.node and not self._is_fenced and boot_time() >= self._renew_from:
            await self._renew()

    async def _renew(self) -> bool:
        """Renew the lease; return False if this node was fenced."""
        began = boot_time()
        if not await self._database.write(self._renewed, reserved=True):
            self._is_fenced = True
            return False
        if began >= self._until:
            self.let_others_first()
        self._until = began + LEASE / SECOND
        self._renew_from = began + 2 * SHARE_OUT_EVERY / SECOND
        return True

    def let_others_first(self) -> None:
        """Fence no node for some seconds: until now, none could write and so renew its lease."""
        self._fences_from = boot_time() + _OTHERS_FIRST / SECOND

    async def news(self, idle: Mapping[str, Collection[str]]) -> News:
        began = time.perf_counter()
        news = await self._database.read(partial(_news, idle))
        took = int((time.perf_counter() - began) * SECOND)
        # A single gateway checks rarely, because then only commands make changes.
        most = SHARE_OUT_EVERY if self._others is None else _LOOK_EVERY
        self.next_news = max(most, int(took / _LOOKING))
        if news.versions.get("opt_out") != self._database.names.opt_outs.version:
            await self._database.write(lambda session: session.opt_outs.refresh())
        return news

    async def announce(self, what: str) -> None:
        await self._database.write(lambda session: session.run("note_change", what=what))

    async def give_up(self, accounts: Collection[str]) -> None:
        await self._database.write(
            lambda session: session.run("give_up_accounts", accounts=sorted(accounts))
        )

    async def leave(self) -> None:
        self._owned = frozenset()
        self._until = 0.0
        await self._database.write(lambda session: session.run("leave_nodes"), reserved=True)

    async def until_others_suppress(self) -> None:
        """Wait until all other gateways know the current opt-out list.

        Each reads the list when it renews its lease. Raises LedgerUnavailable.
        """
        now = await self._database.read(_database_time)
        wanted = {"since": now + LEASE / SECOND, "node": self.node}
        while True:
            if not await self._database.read(partial(_is_one_behind, wanted)):
                return
            await asyncio.sleep(_AGAIN)

    async def _join(self, known: Mapping[str, object]) -> None:
        began = boot_time()
        self._database.node = await self._database.write(
            lambda session: int(
                session.run(
                    "join_nodes",
                    name=self.name,
                    version=self._version,
                    lease=LEASE / SECOND,
                    **known,
                ).fetchone()[0]
            ),
            reserved=True,
        )
        self._until = began + LEASE / SECOND
        self._is_fenced = False

    def _renewed(self, session: PostgresSession) -> bool:
        conditions = msgspec.json.encode(list(self._conditions)).decode()
        row = session.run("renew_node", lease=LEASE / SECOND, conditions=conditions).fetchone()
        session.opt_outs.refresh()  # see until_others_suppress
        return row is not None

    def _fence_and_share_out(
        self, session: PostgresSession
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Remove nodes with an expired lease, and divide the accounts again.

        This is one transaction, so the accounts of a fenced node have a new owner at once.
        """
        margin = _MARGIN / SECOND
        session.run("wait_briefly", within=LOCK_PATIENCE)
        if boot_time() >= self._fences_from:
            session.run("fence_nodes", margin=margin)
        # A node that does not renew its lease will be fenced.
        left: float = session.run("next_fence", margin=margin).fetchone()[0]
        self._due = max(boot_time() + left, self._fences_from)
        self._late = -left
        return self._share_out(session)

    def _share_out(self, session: PostgresSession) -> tuple[frozenset[str], frozenset[str]]:
        """Take unowned accounts assigned to this node; return (owned accounts, assigned accounts).

        Only one node at a time runs this, and its statements see all nodes that have joined.
        Otherwise, a node could take an account from a node that has just joined.
        """
        session.run("lock_leader")
        live = session.run("live_nodes").fetchall()
        nodes = [(node, frozenset(_Accounts.decode(accounts))) for node, accounts, *_ in live]
        others = [(name, conditions) for node, _, name, conditions in live if node != self.node]
        self._others = _named(others) if others else None
        # Any node may lead. The leader stays the same until it leaves.
        known = {*self._accounts.values()}
        due = {account for account in known if owner_of(account, nodes) == self.node}
        mine = frozenset(due | {LEADER})
        session.run("take_accounts", accounts=sorted(mine))
        return frozenset(account for (account,) in session.run("own_accounts")), mine


def _requeued(session: PostgresSession) -> int:
    """End some leases of nodes that no longer exist; return the number of their deliveries."""
    session.run("wait_briefly", within=LOCK_PATIENCE)
    now = time.time_ns() // 1_000_000
    return outbox.expire(
        session, leases="leases_of_dead_nodes", now=now, furthest=_FURTHEST, died=True
    )


def owner_of(account: str, nodes: Sequence[tuple[int, frozenset[str]]]) -> int | None:
    """Return the node to which an account is assigned.

    `nodes` contains the id of each node and the accounts that the node knows.

    Uses rendezvous hashing: when a node joins or leaves, only its own share moves.
    """
    able = [node for node, accounts in nodes if account in accounts]
    return max(able, key=lambda node: _weight(account, node), default=None)


def _weight(account: str, node: int) -> bytes:
    return blake2b(f"{account}\0{node}".encode(), digest_size=8).digest()


def _named(reports: Sequence[tuple[str, str]]) -> list[GatewayCondition]:
    """Decode conditions from pairs of a node's name and its conditions as JSON."""
    return [
        msgspec.structs.replace(condition, gateway=name)
        for name, conditions in reports
        for condition in _Conditions.decode(conditions)
    ]


def _news(idle: Mapping[str, Collection[str]], connection: PostgresConnection) -> News:
    passing = [(pixel, event) for pixel, events in idle.items() for event in events]
    values = {
        "pixels": list(idle),
        "passing_pixels": [pixel for pixel, _ in passing],
        "passing_events": [event for _, event in passing],
    }
    versions, ready = connection.run("news", **values).fetchone()
    return News(ready=frozenset(_Accounts.decode(ready)), versions=_Versions.decode(versions))


def _database_time(connection: PostgresConnection) -> float:
    return float(connection.run("database_time").fetchone()[0])


def _is_one_behind(wanted: Mapping[str, object], connection: PostgresConnection) -> bool:
    return bool(connection.run("is_node_behind", **wanted).fetchone()[0])


def boot_time() -> float:
    """Return a time in seconds that continues while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
