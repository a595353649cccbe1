"""Builders of valid test values; each field can be overridden."""

from collections.abc import Mapping

from twite.domain.cause import DeliveryCause
from twite.domain.conversion import Conversion, Identifiers, dedup_key
from twite.domain.destination import Destination, OAuthKeys, PixelToken, Source
from twite.domain.secret import Secret
from twite.domain.stats.match_keys import Matching, sums_of
from twite.domain.submission import AcceptedConversion, Endpoint, Submission
from twite.x.encode import conversion_body

NOW = 1_795_600_000_000


def a_destination(pixel: str = "o8z6j", *, rate: int = 60_000) -> Destination:
    """Return a pixel with a token and two events."""
    return Destination(
        pixel=pixel,
        credentials=PixelToken(token=Secret(f"emulator-pixel-token-{pixel}")),
        events={"purchase": "o8z6k", "sign_up": "o8z6m"},
        rate=rate,
    )


def a_destination_with_oauth(pixel: str = "o8z6j") -> Destination:
    """Return a pixel with the credentials that X publishes as examples."""
    return Destination(
        pixel=pixel,
        credentials=OAuthKeys(
            consumer_key="xvz1evFS4wEEPTGEFPHBog",
            consumer_secret=Secret("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"),
            token="370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
            token_secret=Secret("LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"),
        ),
        events={"purchase": "o8z6k", "sign_up": "o8z6m"},
    )


def a_source(name: str = "shop", *, pixel: str = "o8z6j", region: str | None = "GB") -> Source:
    """Return a source that may send conversions to one pixel."""
    return Source(
        name=name,
        key=Secret("a-source-key"),
        pixel=pixel,
        pixels=frozenset({pixel}),
        region=region,
    )


def a_conversion(
    conversion_id: str = "order-1", *, pixel: str = "o8z6j", event: str = "o8z6k"
) -> Conversion:
    """Return a purchase with one identifier."""
    return Conversion(
        pixel=pixel,
        event=event,
        conversion_id=conversion_id,
        time=NOW,
        identifiers=Identifiers(click_id="23opevjt88psuo13lu8d020qkn"),
        value="49.90",
        currency="EUR",
    )


def an_entry(
    conversion_id: str = "order-1",
    *,
    pixel: str = "o8z6j",
    event: str = "o8z6k",
    index: int = 0,
    suppressed: str | None = None,
    held: str | None = None,
    cause: DeliveryCause | None = None,
    called: str | None = None,
) -> AcceptedConversion:
    conversion = a_conversion(conversion_id, pixel=pixel, event=event)
    return AcceptedConversion(
        index=index,
        key=dedup_key(pixel, event, conversion_id),
        pixel=pixel,
        event=event,
        conversion_id=conversion_id,
        body=conversion_body(conversion),
        suppressed=suppressed,
        held=held,
        cause=cause,
        called=called,
    )


def a_submission(
    *entries: AcceptedConversion, receipt: str = "r1", source: str = "shop", received_at: int = NOW
) -> Submission:
    return Submission(
        receipt=receipt,
        source=source,
        endpoint=Endpoint.NATIVE,
        received_at=received_at,
        body=b"{}",
        entries=entries,
    )


def matching(key_sets: Mapping[int, int]) -> Matching:
    """Return the sums over key sets and their counts."""
    return Matching(
        **{
            name: sum(many * sums_of(key_set)[place] for key_set, many in key_sets.items())
            for place, name in enumerate(Matching.__struct_fields__)
        }
    )
