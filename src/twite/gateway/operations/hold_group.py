"""Hold group: the deliveries of one order (X and each tag) held by the value guard.

A user decides about all of them at once.
"""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from twite.gateway.ingest.value_guard import HELD_FOR
from twite.gateway.ports.tags import PREFIX

# A tag delivery's id contains the conversion id, perhaps with its event before and trigger after.
_MOST_PARTS = 8


class HeldGroup(NamedTuple):
    """A held delivery of one submission."""

    delivery: int
    pixel: str
    conversion_id: str
    reason: str


def alike(chosen: Collection[int], held: Sequence[HeldGroup]) -> list[int]:
    """Return the ids of all deliveries in the groups of the chosen ones."""
    remarked = [delivery for delivery in held if delivery.reason.startswith(HELD_FOR)]
    roots = {
        delivery.conversion_id for delivery in remarked if not delivery.pixel.startswith(PREFIX)
    }
    found = {delivery.delivery: (delivery.reason, _root(delivery, roots)) for delivery in remarked}
    meant = {found[id_] for id_ in chosen if id_ in found}
    return [id_ for id_, root in found.items() if root in meant]


def _root(delivery: HeldGroup, roots: AbstractSet[str]) -> str:
    if delivery.conversion_id in roots:
        return delivery.conversion_id
    parts = delivery.conversion_id.split("/")
    if len(parts) > _MOST_PARTS:
        return delivery.conversion_id
    within = (
        "/".join(parts[begin:end])
        for begin in range(len(parts))
        for end in range(len(parts), begin, -1)
    )
    return next((part for part in within if part in roots), delivery.conversion_id)
