"""Export of traces: which are kept, which spans are dropped, and how a client's trace is linked."""

import asyncio
import threading
from collections import Counter

import pytest

from otlp_receiver import otlp_receiver, values_of
from twite.gateway.ports.events import ProblemSeen, SilentObserver
from twite.gateway.ports.tracing import SentRequest, StoredRequest
from twite.observers.otel_spans import Collector, OtelSpans, trace_ids
from twite.observers.trace_queue import MOST_WAITING, TraceQueue, spans_of

RECEIPT = "01a21050-10aa-74ba-a097-7c8d979853a0"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NOW = 1_790_000_000_000


def a_stored(receipt=RECEIPT, **more):
    given = {
        "receipt": receipt,
        "source": "shop",
        "endpoint": "native",
        "received_at": NOW,
        "began": NOW * 1_000_000 + 1,
        "ended": NOW * 1_000_000 + 2,
        "conversions": 1,
        "duplicates": 0,
        "trace_parent": None,
    }
    return StoredRequest(**given | more)


def a_sent(*deliveries, **more):
    given = {
        "pixel": "o8z6j",
        "event": "o8z6k",
        "outcome": "delivered",
        "status": 200,
        "is_ambiguous": False,
        "conversions": len(deliveries),
        "claimed_at": NOW + 5,
        "began": (NOW + 6) * 1_000_000,
        "ended": (NOW + 7) * 1_000_000,
        "deliveries": tuple((delivery, NOW) for delivery in deliveries),
    }
    return SentRequest(**given | more)


class HangingExport:
    """An export that waits until it is released."""

    def __init__(self):
        self.begun, self.released = threading.Event(), threading.Event()

    def export(self, parts, _receipts):
        self.begun.set()
        self.released.wait(20)
        return sum(map(spans_of, parts)), True

    def shutdown(self):
        self.released.set()


class Notices:
    def __init__(self):
        self.seen = []

    def see(self, notice):
        self.seen.append(notice)


async def no_receipts(_deliveries):
    return {}


def a_queue(spans, counted, *, one_in=1, receipts=no_receipts, observer=None):
    def count(result, many):
        counted[result] += many

    return TraceQueue(
        one_in=one_in,
        spans=spans,
        receipts=receipts,
        count=count,
        observer=observer or SilentObserver(),
    )


@pytest.mark.parametrize("step", [1, 7, 1_000, 60_000])
async def test_one_in_a_hundred_requests_is_traced_however_regular_the_traffic(step):
    queue = a_queue(HangingExport(), Counter(), one_in=100)

    kept = sum(queue.keeps(NOW + number * step) for number in range(20_000))

    assert 150 < kept < 250


async def test_every_request_is_traced_with_a_rate_of_one():
    queue = a_queue(HangingExport(), Counter())

    assert all(queue.keeps(NOW + number) for number in range(1_000))


async def test_full_queue_of_spans_drops_and_counts_the_rest():
    counted, export = Counter(), HangingExport()
    queue = a_queue(export, counted)
    queue.start()
    queue.stored(a_stored())
    await asyncio.to_thread(export.begun.wait, 20)
    for _ in range(MOST_WAITING + 10):
        queue.stored(a_stored())
    dropped = dict(counted)
    export.released.set()
    await queue.stop()

    assert dropped == {"dropped": 20}


async def test_stop_exports_the_queued_spans():
    counted = Counter()
    with otlp_receiver() as receiver:
        queue = a_queue(OtelSpans(Collector(endpoint=receiver.url)), counted)
        queue.start()
        queue.stored(a_stored())
        await queue.stop()

    assert counted == {"exported": 2}
    assert {span.name for span in receiver.spans} == {"receive", "commit"}


async def test_failed_read_of_receipts_drops_only_its_spans():
    async def fail(_deliveries):
        raise OSError

    counted, notices = Counter(), Notices()
    queue = a_queue(HangingExport(), counted, receipts=fail, observer=notices)
    queue.start()
    queue.sent(a_sent(1, 2))
    await queue.stop()
    await asyncio.sleep(0)

    assert counted == {"failed": 5}
    assert notices.seen == [ProblemSeen(where="traces", reason="OSError")]


@pytest.mark.parametrize(
    ("header", "linked"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("person@example.com", False),
        ("", False),
    ],
)
def test_valid_traceparent_header_becomes_a_link(header, linked):
    with otlp_receiver() as receiver:
        OtelSpans(Collector(endpoint=receiver.url)).export(
            [a_stored(trace_parent=header.encode())], {}
        )

    (root,) = [span for span in receiver.spans if span.name == "receive"]
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in root.links] == (
        [(TRACE, SPAN)] if linked else []
    )
    assert b"example.com" not in b"".join(receiver.bodies)


def test_span_of_a_request_to_x_links_all_conversions_of_its_batch():
    receipts = {number: f"receipt-{number}" for number in range(500)}
    with otlp_receiver() as receiver:
        many, _ = OtelSpans(Collector(endpoint=f"{receiver.url}/v1/traces")).export(
            [a_sent(*receipts)], receipts
        )

    (batch,) = [span for span in receiver.spans if span.name == "POST conversions"]
    assert (many, len(batch.links), batch.dropped_links_count) == (1_001, 500, 0)
    assert {link.trace_id for link in batch.links} == {
        trace_ids(receipt)[0].to_bytes(16) for receipt in receipts.values()
    }


def test_personal_data_in_a_name_of_the_settings_is_masked():
    with otlp_receiver() as receiver:
        OtelSpans(Collector(endpoint=receiver.url)).export(
            [a_stored(source="ada@shop.example")], {}
        )

    (root,) = [span for span in receiver.spans if span.name == "receive"]
    assert "ada@" not in values_of(root)["twite.source"]
    assert values_of(root)["twite.receipt"] == RECEIPT
