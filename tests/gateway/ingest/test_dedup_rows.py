import msgspec
import pytest

from builders import NOW, a_conversion, a_destination, a_source
from twite.domain.conversion import Identifiers
from twite.domain.fault import fault
from twite.domain.stats.deduplication import DedupPath, DedupRow, marks
from twite.domain.submission import Endpoint
from twite.formats.beacon.shape import PixelCall
from twite.formats.native.conversion import ReadConversion
from twite.formats.parsed_request import Native
from twite.gateway.ingest.dedup_rows import DedupRowBuilder, watched

SALT = b"salt"
MARKS = ("email_mark", "phone_mark", "click_mark")


def a_builder(*pixels):
    destinations = {"o8z6j": a_destination()}
    return DedupRowBuilder(
        pixels=frozenset(pixels or {"o8z6j"}), destinations=destinations, salt=SALT
    )


def a_read(index=0, **said):
    conversion = a_conversion()
    read = ReadConversion(
        index=index, pixel="o8z6j", native=Native(event="purchase"), conversion=conversion
    )
    return msgspec.structs.replace(read, **said)


def a_refused(**said):
    native = Native(**({"event": "Purchase", "conversion_id": "order-1"} | said))
    return a_read(native=native, conversion=None, faults=(fault("", "identifier_missing"),))


def a_dedup_row(way, at=NOW, **said):
    found = DedupRow(
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1",
        path=way,
        at=at,
        **dict(zip(MARKS, marks(a_conversion(), salt=SALT), strict=True)),
    )
    return msgspec.structs.replace(found, **said)


def seen(*results, endpoint=Endpoint.BEACON, pixel_calls=(), dedup_rows=None):
    return (dedup_rows or a_builder()).of(
        results, endpoint=endpoint, now=NOW, pixel_calls=pixel_calls
    )


@pytest.mark.parametrize(
    ("endpoint", "way"),
    [
        (Endpoint.BEACON, DedupPath.PAGE),
        (Endpoint.NATIVE, DedupPath.SERVER),
        (Endpoint.GA4, DedupPath.SERVER),
    ],
)
def test_conversion_is_in_the_report_under_the_path_of_its_route(endpoint, way):
    assert seen(a_read(), endpoint=endpoint) == (a_dedup_row(way),)


@pytest.mark.parametrize(
    ("call", "ways"),
    [
        (PixelCall.LOADED, [DedupPath.PAGE, DedupPath.PIXEL]),
        (PixelCall.CALLED, [DedupPath.PAGE, DedupPath.PIXEL]),
        (PixelCall.BLOCKED, [DedupPath.PAGE, DedupPath.BLOCKED]),
        (PixelCall.ABSENT, [DedupPath.PAGE]),
    ],
)
def test_pixel_call_of_a_page_is_in_the_report(call, ways):
    assert [row.path for row in seen(a_read(), pixel_calls=[call])] == ways


def test_pixel_call_has_the_time_of_the_conversion_but_not_in_the_future():
    early = msgspec.structs.replace(a_conversion(), time=NOW - 5)
    late = msgspec.structs.replace(a_conversion(), time=NOW + 5)

    (_, first), (_, second) = (
        seen(a_read(conversion=conversion), pixel_calls=[PixelCall.LOADED])
        for conversion in (early, late)
    )

    assert (first.at, second.at) == (NOW - 5, NOW)


@pytest.mark.parametrize("why", [{"suppressed": "consent_denied"}, {"held": "consent_unclear"}])
def test_suppressed_conversion_is_in_the_report_only_as_a_pixel_call(why):
    assert [row.path for row in seen(a_read(**why), pixel_calls=[PixelCall.LOADED])] == [
        DedupPath.PIXEL
    ]


def test_rejected_conversion_is_in_the_report_only_as_a_pixel_call():
    plain = a_dedup_row(DedupPath.PIXEL, click_mark=None)

    assert seen(a_refused(), pixel_calls=[PixelCall.LOADED]) == (plain,)


@pytest.mark.parametrize(
    "said", [{"event": "unknown"}, {"event": None}, {"conversion_id": None}, {"conversion_id": ""}]
)
def test_rejected_conversion_without_an_event_or_id_is_not_in_the_report(said):
    assert seen(a_refused(**said), pixel_calls=[PixelCall.LOADED]) == ()


def test_pixel_without_page_requests_is_not_in_the_report():
    assert seen(a_read(), dedup_rows=a_builder("other")) == ()
    assert a_builder("other").of_x([a_conversion()], now=NOW) == ()


def test_request_in_xs_format_is_in_the_report_as_a_server():
    assert a_builder().of_x([a_conversion()], now=NOW) == (a_dedup_row(DedupPath.SERVER),)


def test_pixels_in_the_report_are_those_of_sources_with_origins():
    page = msgspec.structs.replace(a_source("page", pixel="p1"), origins=("https://shop.example",))

    assert watched([page, a_source("server", pixel="p2")]) == {"p1"}


def test_hashes_of_an_order_match_those_in_the_store():
    order = msgspec.structs.replace(
        a_conversion("order-1"), identifiers=Identifiers(click_id="c", email="e", phone="p")
    )

    assert marks(order, salt=SALT) == (
        4878031611751685467, 3251256276458152255, -6039293728026962327,
    )  # fmt: skip


def test_hashes_are_equal_only_for_the_same_order():
    order = msgspec.structs.replace(
        a_conversion("order-1"), identifiers=Identifiers(click_id="c", email="e")
    )
    page = msgspec.structs.replace(
        a_conversion("page-1"), identifiers=Identifiers(click_id="c"), time=NOW + 1
    )
    dearer = msgspec.structs.replace(page, value="50.00")

    ours, theirs, others = (marks(conversion, salt=SALT) for conversion in (order, page, dearer))

    email, phone, click = ours
    assert click == theirs[2] != others[2]
    assert (theirs[0], phone) == (None, None)
    assert marks(order, salt=b"other") != ours
    assert email != click
