"""Suspects: deliveries in requests that failed, or that X refused without naming a cause.

A delivery is a suspect until X accepts it. If X accepts other deliveries meanwhile, the suspects
are bisected, and the bad one is isolated: it is sent alone from then on. One batch with suspects is
in flight at a time, so they do not delay others. A restart forgets the suspects.

Only the order of bad and accepted requests matters, so time is counted in accepted requests.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, Self, TypeVar

import msgspec

from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.delivery import Batch, Delivery, Group
from twite.domain.outcome import Rejected

# Give up a delivery that X has refused this often when sent alone, if it accepted other deliveries
# between any two of these refusals. An unstable credential does not cause this pattern.
CERTAIN: Final = 5
# If X also refuses other deliveries at random, more refusals are needed: so many that a good
# delivery is refused that often with at most this probability.
_CHANCE: Final = 1e-3
# The share of bad requests is a moving average over about this many requests.
_RECENT: Final = 10
# The maximum number of isolated deliveries in one batch.
MOST_ISOLATED: Final = 10
# The maximum number of suspects remembered; the oldest are dropped.
MOST: Final = 20_000
# Blame the event if this many of its conversions in a row have failed or been refused, while X
# accepted conversions of other events. Isolated conversions do not count, because they are not new
# evidence.
ROW: Final = 5

# The status and codes of a refusal, without echoed values.
RefusalKind = tuple[int | None, frozenset[str]]
V = TypeVar("V")
K = TypeVar("K", int, str)


class IsolatedDelivery(msgspec.Struct, frozen=True):
    """A delivery that is sent alone.

    `proven` counts consecutive refusals between which X accepted others; `times` counts all bad
    requests, of which `last` is the latest; `is_refused` says whether X has refused it, sent alone.
    """

    event: str = ""
    proven: int = 0
    times: int = 0
    last: int = 0
    is_refused: bool = False


class Suspects(msgspec.Struct, frozen=True, kw_only=True):
    """The suspects of one pixel, and when each may be sent.

    `since` says when each delivery became a suspect. Per event, `rows` has the first delivery of
    each of its bad requests in a row, if X accepted others in between; `bad_since` and `bad_at` are
    its first and last bad request since X last accepted one of the event. `bad_share` is the share
    of bad requests, without those of isolated deliveries. `shown` has the refusals that are known
    to be about conversions. `lease` is the batch in flight with suspects. At `retry_at`, an
    isolated delivery may be tried although X has accepted nothing since.
    """

    accepted: int = 0
    bad_share: float = 0.0
    since: Mapping[int, int] = {}
    isolated: Mapping[int, IsolatedDelivery] = {}
    rows: Mapping[str, frozenset[int]] = {}
    bad_since: Mapping[str, int] = {}
    bad_at: Mapping[str, int] = {}
    shown: frozenset[RefusalKind] = frozenset()
    lease: int | None = None
    skipped_isolated: bool = False
    retry_at: int = 0

    def took(self, group: Iterable[Delivery], *, event: str) -> Self:
        """Record that X accepted these deliveries."""
        since, isolated = self.since, self.isolated
        if since or isolated:
            ids = {delivery.id for delivery in group}
            since, isolated = _without(since, ids), _without(isolated, ids)
        return msgspec.structs.replace(
            self,
            accepted=self.accepted + 1,
            bad_share=self.bad_share - self.bad_share / _RECENT,
            since=since,
            isolated=isolated,
            rows=_without(self.rows, (event,)),
            bad_since=_without(self.bad_since, (event,)),
            bad_at=_without(self.bad_at, (event,)),
        )

    def note(self, group: Sequence[Delivery], *, event: str) -> Self:
        """Record that a request with these deliveries failed or was refused."""
        noted = msgspec.structs.replace(self, since=self._since(group, self.accepted))
        if self.is_isolated(group[0]):
            return noted
        noted = msgspec.structs.replace(
            noted,
            bad_share=self.bad_share + (1 - self.bad_share) / _RECENT,
            bad_since={event: self.accepted, **self.bad_since},
        )
        if self.bad_at.get(event, 0) >= self.accepted:
            return noted
        return msgspec.structs.replace(
            noted,
            rows={**self.rows, event: self.rows.get(event, frozenset()) | {group[0].id}},
            bad_at={**self.bad_at, event: self.accepted},
        )

    def refused_alike(self, group: Sequence[Delivery], *, event: str) -> Self:
        """Record that X refused each of these deliveries of a batch when sent alone.

        If X accepted only other events meanwhile, each counts as a bad request of the event.
        """
        if self.bad_since.get(event, self.accepted) >= self.accepted:
            return self
        row = self.rows.get(event, frozenset()).union(delivery.id for delivery in group)
        return msgspec.structs.replace(self, rows={**self.rows, event: row})

    def hung(self, group: Iterable[Delivery]) -> Self:
        """Record that a hanging request failed: one of its deliveries is at fault."""
        return msgspec.structs.replace(self, since=self._since(group, self.accepted - 1))

    def found(
        self, delivery: Delivery, rejected: Rejected | None = None, *, event: str, elapsed: int
    ) -> Self:
        """Record that a delivery sent alone failed, or was refused: isolate it."""
        was = self.isolated.get(delivery.id, IsolatedDelivery())
        proven = 0 if rejected is None else was.proven + (was.last < self.accepted)
        is_shown = rejected is not None and proven > 1
        isolated = IsolatedDelivery(
            event, proven, was.times + 1, self.accepted, was.is_refused or rejected is not None
        )
        return msgspec.structs.replace(
            self,
            isolated=_newest({**_without(self.isolated, (delivery.id,)), delivery.id: isolated}),
            shown=self.shown | {kind_of(rejected)} if rejected and is_shown else self.shown,
            retry_at=elapsed + PROBE_EVERY,
        )

    def blamed(self, rejected: Rejected) -> Self:
        """Record that a refusal of this kind concerned the pixel this time."""
        return msgspec.structs.replace(self, shown=self.shown - {kind_of(rejected)})

    def began(self, batch: Batch) -> Self:
        """Record that a batch was claimed."""
        known = self.known()
        if known and any(delivery.id in known for delivery in batch.deliveries):
            return msgspec.structs.replace(self, lease=batch.lease)
        return self

    def ended(self, batch: Batch) -> Self:
        return msgspec.structs.replace(self, lease=None) if self.lease == batch.lease else self

    def skip(self, *, elapsed: int, is_hanging: bool) -> tuple[Self, frozenset[int]]:
        """Return the deliveries that the next claim must skip.

        An isolated delivery is tried again after X has accepted another delivery, or after a
        minute. `is_hanging` says whether the batch with suspects hangs.
        """
        known = self.known()
        if self.lease is not None and not is_hanging:
            return self, known
        # Isolated deliveries could fill a small batch, so suspects go first every other time.
        isolated = self.isolated
        skips = not self.skipped_isolated
        if skips and len(known) > len(isolated):
            return msgspec.structs.replace(self, skipped_isolated=True), frozenset(isolated)
        tried = [id_ for id_, found in isolated.items() if found.last < self.accepted]
        if elapsed >= self.retry_at:
            # Some of those may not be in the queue any more.
            tried = [*[id_ for id_ in isolated if id_ not in tried][:1], *tried]
        tried = tried[:MOST_ISOLATED]
        later = {id_: isolated[id_] for id_ in tried}
        suspects = msgspec.structs.replace(
            self, skipped_isolated=skips, isolated={**_without(isolated, tried), **later}
        )
        return suspects, frozenset(isolated).difference(tried)

    def split(self, group: Group) -> tuple[Group, Group, Group]:
        """Split deliveries into (unsuspected, suspects, isolated)."""
        known = self.known()
        if not known:
            return group, (), ()
        return (
            tuple(delivery for delivery in group if delivery.id not in known),
            tuple(
                delivery
                for delivery in group
                if delivery.id in known and not self.is_isolated(delivery)
            ),
            tuple(filter(self.is_isolated, group)),
        )

    def explain(self, group: Iterable[Delivery]) -> bool:
        """Whether a delivery is at fault: X has accepted others since it became a suspect."""
        return bool(self.since) and any(
            self.since.get(delivery.id, self.accepted) < self.accepted for delivery in group
        )

    def known(self) -> frozenset[int]:
        """Return the ids of deliveries that may be at fault while X accepts others."""
        if not self.since and not self.isolated:
            return frozenset()
        accepted = self.accepted
        return frozenset(id_ for id_, at in self.since.items() if at < accepted).union(
            self.isolated
        )

    @property
    def troubled(self) -> frozenset[str]:
        """The events with a bad request since X last accepted one of theirs."""
        return frozenset(self.bad_at)

    def is_certain(self, proven: int) -> bool:
        """Whether this many refusals prove that a delivery is at fault.

        X accepted other deliveries between them.
        """
        return proven >= CERTAIN and self.bad_share**proven <= _CHANCE

    def is_repeated(self, event: str) -> bool:
        """Whether an event has failed more than once while X accepted other events."""
        return len(self.rows.get(event, ())) > 1

    def is_the_event(self, event: str) -> bool:
        """Whether an event keeps failing while X accepts other events of the pixel."""
        return len(self.rows.get(event, ())) >= ROW

    def is_shown(self, rejected: Rejected) -> bool:
        """Whether this kind of refusal is known to concern conversions."""
        return kind_of(rejected) in self.shown

    def is_isolated(self, delivery: Delivery) -> bool:
        return delivery.id in self.isolated

    def was_refused_alone(self, delivery: Delivery) -> bool:
        """Whether X has already refused the delivery when sent alone.

        Then another refusal is not evidence about the pixel.
        """
        return self.isolated.get(delivery.id, IsolatedDelivery()).is_refused

    def isolated_of(self, events: Container[str]) -> frozenset[int]:
        """Return the ids of isolated deliveries of these events."""
        return frozenset(id_ for id_, found in self.isolated.items() if found.event in events)

    def _since(self, group: Iterable[Delivery], at: int) -> dict[int, int]:
        since = dict(self.since)
        for delivery in group:
            since.setdefault(delivery.id, at)
        return _newest(since)


def kind_of(rejected: Rejected) -> RefusalKind:
    return rejected.status, frozenset(complaint.code for complaint in rejected.complaints)


def _without(remembered: Mapping[K, V], keys: Iterable[K]) -> Mapping[K, V]:
    gone = remembered.keys() & keys
    if not gone:
        return remembered
    return {key: value for key, value in remembered.items() if key not in gone}


def _newest(remembered: dict[int, V]) -> dict[int, V]:
    surplus = len(remembered) - MOST
    return dict(islice(remembered.items(), surplus, None)) if surplus > 0 else remembered
