"""Groups: deliveries that share a request to X.

Most are `NewDeliveries`: these functions read its columns, and do not build a `Delivery`.
"""

from collections.abc import Sequence

from twite.domain.delivery import Delivery, NewDeliveries, ids_of
from twite.x.encode import batch_body, joined_body

__all__ = ("Group", "ambiguous_of", "body_of", "ids_of", "received_of")

Group = Sequence[Delivery]


def body_of(group: Group) -> bytes:
    """Return the body of a request with these deliveries."""
    if isinstance(group, NewDeliveries):
        return joined_body(group.bodies, len(group))
    return batch_body([delivery.body for delivery in group])


def received_of(group: Group) -> Sequence[int]:
    """Return when each delivery was received."""
    if isinstance(group, NewDeliveries):
        return group.received_at
    return [delivery.received_at for delivery in group]


def ambiguous_of(group: Group) -> list[int]:
    """Return, for each delivery that X may already have received, since when that is so."""
    if isinstance(group, NewDeliveries):
        return []
    return [delivery.ambiguous_since for delivery in group if delivery.ambiguous_since is not None]
