"""An answer says which conversions were duplicates and which were suppressed."""

import msgspec

from twite.gateway.accept import Accept
from twite.testing.builders import a_destination, a_source
from twite.testing.chance import SeededChance
from twite.testing.clock import MovingClock
from twite.testing.memory import MemoryStore


def conversion(order, **more):
    return {"event": "purchase", "conversion_id": order, "email": "a@example.com"} | more


async def test_the_places_of_duplicates_and_suppressed_are_told():
    accept = Accept(
        ledger=MemoryStore(),
        clock=MovingClock(),
        chance=SeededChance(),
        destinations={"o8z6j": a_destination()},
        salt=b"salt",
        wake=lambda _: None,
    )
    given = [
        conversion("o-1"),
        conversion("o-2", consent={"ad_storage": "denied"}),
        conversion("o-3", event="unheard"),
        conversion("o-1"),
    ]

    receipt = await accept.native(
        source=a_source(), body=msgspec.json.encode({"conversions": given})
    )

    assert (receipt.accepted, receipt.duplicates, receipt.suppressed) == (1, 1, 1)
    assert (receipt.duplicate_indexes, receipt.suppressed_indexes) == ((3,), (1,))
