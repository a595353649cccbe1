"""What is held together for a remark on its amount: an order, for X and for each tag that hears it.

One decision of a person is about all of them.
"""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from twite.gateway.ingest.value_guard import HELD_FOR
from twite.gateway.ports.tags import PREFIX

# A tag's id is the conversion's, perhaps with its event before and its trigger behind.
_MOST_PARTS = 8


class HeldGroup(NamedTuple):
    """A delivery of one submission that is held."""

    delivery: int
    pixel: str
    conversion_id: str
    reason: str


def alike(chosen: Collection[int], held: Sequence[HeldGroup]) -> list[int]:
    """Return those of one submission that go the way of the chosen ones, these among them."""
    remarked = [one for one in held if one.reason.startswith(HELD_FOR)]
    roots = {one.conversion_id for one in remarked if not one.pixel.startswith(PREFIX)}
    found = {one.delivery: (one.reason, _root(one, roots)) for one in remarked}
    meant = {found[delivery] for delivery in chosen if delivery in found}
    return [delivery for delivery, root in found.items() if root in meant]


def _root(one: HeldGroup, roots: AbstractSet[str]) -> str:
    if one.conversion_id in roots:
        return one.conversion_id
    parts = one.conversion_id.split("/")
    if len(parts) > _MOST_PARTS:
        return one.conversion_id
    within = (
        "/".join(parts[begin:end])
        for begin in range(len(parts))
        for end in range(len(parts), begin, -1)
    )
    return next((part for part in within if part in roots), one.conversion_id)
