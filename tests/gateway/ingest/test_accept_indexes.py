"""The response says which conversions were duplicates and which were suppressed."""

import msgspec

from builders import a_destination, a_source
from fakes import MovingClock, SeededRandomness
from memory_store.store import MemoryStore
from twite.formats.native.answers import Suppressed
from twite.gateway.ingest.accept import Accept


def conversion(order, **more):
    return {"event": "purchase", "conversion_id": order, "email": "a@example.com"} | more


def an_accept():
    return Accept(
        intake=MemoryStore(),
        clock=MovingClock(),
        randomness=SeededRandomness(),
        destinations={"o8z6j": a_destination()},
        salt=b"salt",
        wake=lambda _: None,
    )


async def test_response_lists_indexes_of_duplicates_and_suppressed_conversions():
    accept = an_accept()
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
    assert receipt.suppressed_reasons == (Suppressed(index=1, reason="consent_denied: ad_storage"),)


async def test_reason_names_a_misspelt_consent_signal_but_no_other_key():
    accept = an_accept()
    consents = [{"ad_storge": "granted"}, {"erika@example.com": "granted"}, {"ad_storage": "yess"}]
    given = [conversion(f"o-{n}", consent=consent) for n, consent in enumerate(consents)]

    receipt = await accept.native(
        source=a_source(), body=msgspec.json.encode({"conversions": given})
    )

    assert [suppressed_reason.reason for suppressed_reason in receipt.suppressed_reasons] == [
        'consent_unclear: unknown signal "ad_storge", did you mean "ad_storage"?',
        "consent_unclear: unknown signal",
        "consent_unclear: ad_storage",
    ]


async def test_equal_conversions_without_an_id_in_one_request_are_accepted_once_each():
    accept = an_accept()
    purchase = {"event": "purchase", "email": "a@example.com"}
    body = msgspec.json.encode({"conversions": [purchase, purchase, purchase]})

    first = await accept.native(source=a_source(), body=body)
    again = await accept.native(source=a_source(), body=body)

    assert (first.accepted, first.duplicates) == (3, 0)
    assert (again.accepted, again.duplicates) == (0, 3)
