"""Policy change: decide queued deliveries again when a source's consent policy has changed."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from twite.consent.verdict import decide_again
from twite.domain.consent import ConsentAction, policy_version
from twite.domain.destination import Source
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import DeliveryStore, TakeBack
from twite.gateway.ports.queries import DecidedDelivery, UndeliveredQuery
from twite.gateway.ports.state import DecisionPolicy
from twite.gateway.ports.tags import PREFIX, policy_for

_AT_ONCE: Final = 1_000


class PolicyChange:
    """Runs at start, before sending. Suppresses or holds what the new policy does not allow."""

    def __init__(
        self, *, sources: Iterable[Source], store: DeliveryStore, clock: Clock, observer: Observer
    ) -> None:
        self._sources = tuple(sources)
        self._store = store
        self._clock = clock
        self._observer = observer

    async def once(self) -> int:
        """Return the number of deliveries suppressed or held. Raises LedgerUnavailable.

        A policy is stored last, so that an interrupted start runs again.
        """
        policies = await self._store.load(DecisionPolicy)
        noted = {policy.source: policy.version for policy in policies}
        taken = 0
        for source in self._sources:
            version = policy_version(source.consent)
            if noted.get(source.name) == version:
                continue
            if source.name in noted:
                taken += await self._of(source)
            await self._store.put([DecisionPolicy(source=source.name, version=version)])
        return taken

    async def _of(self, source: Source) -> int:
        after = taken = 0
        for_tags = policy_for(source.consent)
        while True:
            undelivered = await self._store.answer(
                UndeliveredQuery(source=source.name, after=after, limit=_AT_ONCE)
            )
            if not undelivered:
                break
            after = undelivered[-1].delivery
            taken_back: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
            for delivery in undelivered:
                found = decide_again(
                    delivery.evidence, for_tags if _is_tags(delivery) else source.consent
                )
                if found is not None:
                    hold = found.action is ConsentAction.HOLD
                    taken_back[found.reason or found.rule, hold].append(delivery.delivery)
            for (reason, hold), deliveries in taken_back.items():
                move = TakeBack(deliveries=deliveries, reason=reason, hold=hold)
                taken += (await self._store.move(move, now=self._clock.now())).moved
        if taken:
            summary = f"the policy of source {source.name} has changed: {taken} are not sent"
            self._observer.see(Troubled(where=TroublePlace.CONSENT, reason=summary))
        return taken


def _is_tags(delivery: DecidedDelivery) -> bool:
    return delivery.pixel.startswith(PREFIX)
