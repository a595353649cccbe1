"""Store contract: copies in one request have the same results as copies in separate requests."""

from collections.abc import Sequence
from itertools import product
from typing import Final

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    balanced,
    claim,
    dead_lettered,
    delivered,
    histories,
    postponed,
    settle,
)
from store_contract.copies import MISSING, corrected, decided, denied, restricted
from twite.domain.cause import DeliveryCause
from twite.domain.conversion import DEFAULT_WINDOW
from twite.domain.delivery import State
from twite.domain.submission import AcceptedConversion
from twite.gateway.ports.copies import OTHER_BODY, by_later
from twite.gateway.ports.queries import ByReceipt
from twite.gateway.ports.store import Store

_UNCLEAR: Final = "consent_unclear: gcd"
_KINDS: Final = (
    "plain", "corrected", "restricted", "limited", "unclear", "guarded", "denied", "silent",
)  # fmt: skip
_FIRST: Final = "first"
_LATER: Final = NOW + 4 * DEFAULT_WINDOW


def copy_of(kind: str, name: str, *, index: int = 0) -> AcceptedConversion:
    entry = {
        "plain": an_entry(name),
        "corrected": corrected(name),
        "restricted": restricted(name),
        "limited": msgspec.structs.replace(
            corrected(name), consent=decided(ad_user_data="denied").evidence
        ),
        "unclear": an_entry(name, held=_UNCLEAR, cause=DeliveryCause.CONSENT_UNCLEAR),
        "guarded": an_entry(name, held="why"),
        "denied": denied(name),
        "silent": denied(name, cause=MISSING),
    }[kind]
    return msgspec.structs.replace(entry, index=index)


async def _first(store: Store, state: str, names: Sequence[str]) -> None:
    """Record conversions, and put them into a state."""
    if state == "new":
        return
    held = "why" if state == "held" else None
    entries = [an_entry(name, index=index, held=held) for index, name in enumerate(names)]
    await store.record(a_submission(*entries, receipt=_FIRST))
    if state in {"held", "queued"}:
        return
    batch = await claim(store, lease_until=_LATER)
    assert len(batch.deliveries) == len(names)
    in_doubt = postponed(batch, until=_LATER)
    if "in doubt" in state:
        await settle(store, batch, "errored", in_doubt, ambiguous=True, lease_until=_LATER)
    if state == "dead, in doubt":
        # Claim the delivery again when it is due.
        batch = await claim(store, now=_LATER, lease_until=2 * _LATER)
    if state.startswith("dead"):
        await settle(store, batch, "rejected", dead_lettered(batch), lease_until=_LATER)
    elif state == "delivered":
        await settle(store, batch, "delivered", delivered(batch))


async def _results(store: Store, *receipts: str) -> dict[str, list[tuple[object, ...]]]:
    """Return the result of each conversion of some requests, the latest copy first."""
    found = [
        history for receipt in receipts for history in await store.find(ByReceipt(receipt=receipt))
    ]
    became: dict[str, list[tuple[object, ...]]] = {}
    for history in sorted(found, key=lambda history: -history.delivery):
        name = history.conversion_id
        became.setdefault(name, []).append((
            history.state, history.reason, history.sent.replace(name.encode(), b""),
            history.duplicates, history.superseded_by is None, len(history.supersedes),
            history.rival is None, history.ambiguous_since,
        ))  # fmt: skip
    return became


class CopiesAtOnceLaws:
    async def _alike(self, store: Store, state: str, *, at: int) -> None:
        """Submit each pair of kinds of copies, in one request and in two.

        All pairs share these requests: each pair belongs to a separate conversion.
        """
        pairs = list(product(_KINDS, repeat=2))
        names = [f"{way}-{place}" for way in ("once", "each") for place in range(len(pairs))]
        await _first(store, state, names)
        once = [
            copy_of(kind, f"once-{place}", index=2 * place + second)
            for place, pair in enumerate(pairs)
            for second, kind in enumerate(pair)
        ]
        together = await store.record(a_submission(*once, receipt="once", received_at=at))
        duplicates, held = set[int](), set[int]()
        for second in (0, 1):
            each = [
                copy_of(pair[second], f"each-{place}", index=place)
                for place, pair in enumerate(pairs)
            ]
            receipt = f"each-{second}"
            recorded = await store.record(a_submission(*each, receipt=receipt, received_at=at))
            duplicates |= {2 * place + second for place in recorded.duplicates}
            held |= {2 * place + second for place in recorded.held}

        assert set(together.duplicates) == duplicates, state
        assert set(together.held) == held, state
        became = await _results(store, _FIRST, "once", "each-0", "each-1")
        for place, pair in enumerate(pairs):
            assert became[f"once-{place}"] == became[f"each-{place}"], (state, pair)
        await balanced(store)

    async def test_copies_in_a_request_match_single_copies_of_new_ones(self, store: Store) -> None:
        await self._alike(store, "new", at=NOW + 1)

    async def test_copies_in_a_request_match_single_copies_of_queued_ones(
        self, store: Store
    ) -> None:
        await self._alike(store, "queued", at=NOW + 1)

    async def test_copies_in_a_request_match_single_ones_after_the_window(
        self, store: Store
    ) -> None:
        await self._alike(store, "queued", at=_LATER)

    async def test_copies_in_a_request_match_single_copies_of_ambiguous(self, store: Store) -> None:
        await self._alike(store, "queued, in doubt", at=NOW + 1)

    async def test_copies_in_a_request_match_single_copies_of_held_ones(self, store: Store) -> None:
        await self._alike(store, "held", at=NOW + 1)

    async def test_copies_in_a_request_match_single_copies_in_flight(self, store: Store) -> None:
        await self._alike(store, "in flight", at=NOW + 1)

    async def test_copies_in_a_request_match_single_copies_of_dead_ones(self, store: Store) -> None:
        await self._alike(store, "dead", at=NOW + 1)

    async def test_copies_in_a_request_match_single_ambiguous_dead_ones(self, store: Store) -> None:
        await self._alike(store, "dead, in doubt", at=NOW + 1)

    async def test_copies_in_a_request_match_single_dead_ones_after_it(self, store: Store) -> None:
        await self._alike(store, "dead", at=_LATER)

    async def test_copies_in_a_request_match_single_delivered_ones(self, store: Store) -> None:
        await self._alike(store, "delivered", at=NOW + 1)

    async def test_correction_stays_held_after_a_stricter_copy(self, store: Store) -> None:
        await _first(store, "dead, in doubt", ["order-1"])

        await store.record(
            a_submission(
                copy_of("corrected", "order-1"),
                copy_of("restricted", "order-1", index=1),
                receipt="r2",
                received_at=NOW + 1,
            )
        )

        latest, *_ = await histories(store, "order-1")
        assert (latest.state, latest.reason) == (State.HELD, OTHER_BODY)

    async def test_unclear_consent_stays_held_after_a_stricter_copy(self, store: Store) -> None:
        await store.record(
            a_submission(
                copy_of("plain", "order-1"),
                copy_of("unclear", "order-1", index=1),
                copy_of("restricted", "order-1", index=2),
            )
        )

        latest, *_ = await histories(store, "order-1")
        assert (latest.state, latest.reason) == (State.HELD, by_later(_UNCLEAR))
