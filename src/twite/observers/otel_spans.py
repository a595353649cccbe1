"""Spans of OpenTelemetry, exported by OTLP over HTTP. This module needs the extra `otel`.

A trace belongs to a request; its id is a hash of the receipt. Its spans are `receive` and `commit`,
and for each attempt to send a conversion `claim` and `send`. A request to X holds conversions of
many traces: it is a span of its own trace, with a link to each `send`.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from twite import __version__
from twite.domain.outcome import AttemptOutcome
from twite.gateway.ports.tracing import SentRequest, StoredRequest
from twite.observers.trace_queue import TracePart
from twite.redaction.mask_text import masked_text

# All attributes that a span may have: figures, ids of Twite and X, and names of the settings.
ATTRIBUTES: Final = frozenset(
    {
        "twite.receipt",
        "twite.source",
        "twite.endpoint",
        "twite.pixel",
        "twite.event",
        "twite.conversions",
        "twite.duplicates",
        "twite.waited_ms",
        "twite.outcome",
        "twite.ambiguous",
        "http.request.method",
        "http.response.status_code",
    }
)
_PARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_MOST_LINKS: Final = 512  # X accepts 500 conversions in a request
_PATH: Final = "/v1/traces"
_MS: Final = 1_000_000
Value = str | int | bool | None


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """Where spans are sent. `headers` may contain a key."""

    endpoint: str
    headers: Mapping[str, str] = {}

    @property
    def url(self) -> str:
        """The URL for spans; `endpoint` may be the base of it."""
        return self.endpoint if self.endpoint.endswith(_PATH) else f"{self.endpoint}{_PATH}"


def trace_ids(receipt: str) -> tuple[int, int]:
    """Return the ids of a request's trace and of its first span."""
    digest = sha256(b"twite trace " + receipt.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


class OtelSpans:
    """Implements SpanExport."""

    def __init__(self, collector: Collector) -> None:
        # Its errors are counted and reported by the queue.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        session = requests.Session()
        session.trust_env = False  # no proxy, and no password of ~/.netrc
        self._exporter = OTLPSpanExporter(
            endpoint=collector.url, headers=dict(collector.headers) or None, session=session
        )
        self._ids = _Ids()
        self._ended = _Ended()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=_resource(),
            id_generator=self._ids,
            span_limits=SpanLimits(max_links=_MOST_LINKS),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer("twite", __version__)

    def export(self, parts: Sequence[TracePart], receipts: Mapping[int, str]) -> tuple[int, bool]:
        for part in parts:
            if isinstance(part, StoredRequest):
                self._write_stored(part)
            else:
                self._write_sent(part, receipts)
        spans = self._ended.taken()
        return len(spans), self._exporter.export(spans) is SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _write_stored(self, stored: StoredRequest) -> None:
        trace_id, span_id = trace_ids(stored.receipt)
        client = _context_of(stored.trace_parent)
        received = min(stored.received_at * _MS, stored.began)
        root = self._write(
            "receive",
            INVALID_SPAN_CONTEXT,
            received,
            stored.ended,
            ids=(trace_id, span_id),
            kind=SpanKind.SERVER,
            links=[] if client is None else [Link(client)],
            values={
                "twite.receipt": stored.receipt,
                "twite.source": stored.source,
                "twite.endpoint": stored.endpoint,
                "twite.conversions": stored.conversions,
                "twite.duplicates": stored.duplicates,
            },
        )
        self._write("commit", root, stored.began, stored.ended)

    def _write_sent(self, sent: SentRequest, receipts: Mapping[int, str]) -> None:
        whole = SpanContext(
            self._ids.generate_trace_id(), self._ids.generate_span_id(), is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )  # fmt: skip
        values: dict[str, Value] = {
            "twite.pixel": sent.pixel,
            "twite.event": sent.event,
            "twite.outcome": sent.outcome,
            "twite.ambiguous": sent.is_ambiguous,
            "http.response.status_code": sent.status,
        }
        claimed = min(sent.claimed_at * _MS, sent.began)
        is_error = sent.outcome != AttemptOutcome.DELIVERED
        sends = []
        for delivery, received_at in sent.deliveries:
            receipt = receipts.get(delivery)
            if receipt is None:
                continue
            trace_id, span_id = trace_ids(receipt)
            flags = TraceFlags(TraceFlags.SAMPLED)
            root = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
            own = {"twite.receipt": receipt}
            waited = max(0, sent.claimed_at - received_at)
            self._write(
                "claim", root, claimed, sent.began, values=own | {"twite.waited_ms": waited}
            )
            sends.append(
                self._write(
                    "send",
                    root,
                    sent.began,
                    sent.ended,
                    links=[Link(whole)],
                    values=own | values,
                    is_error=is_error,
                )
            )
        self._write(
            "POST conversions",
            INVALID_SPAN_CONTEXT,
            sent.began,
            sent.ended,
            ids=(whole.trace_id, whole.span_id),
            kind=SpanKind.CLIENT,
            links=[Link(context) for context in sends],
            values={
                "http.request.method": "POST",
                "twite.conversions": sent.conversions,
                **values,
            },
            is_error=is_error,
        )

    def _write(
        self,
        name: str,
        parent: SpanContext,
        began: int,
        ended: int,
        *,
        ids: tuple[int, int] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        values: Mapping[str, Value] | None = None,
        is_error: bool = False,
    ) -> SpanContext:
        """Write a span, and return its context. `ids` are those of a trace's first span."""
        if ids is not None:
            self._ids.next_ids(*ids)
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(NonRecordingSpan(parent)),
            kind=kind,
            attributes=dict(_allowed(values or {})),
            links=links,
            start_time=began,
        )
        if is_error:
            span.set_status(StatusCode.ERROR)
        span.end(max(began, ended))
        return span.get_span_context()


class _Ids(IdGenerator):
    """Random ids, except for the next span if its ids are given."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._trace_id: int | None = None
        self._span_id: int | None = None

    def next_ids(self, trace_id: int, span_id: int) -> None:
        self._trace_id, self._span_id = trace_id, span_id

    def generate_span_id(self) -> int:
        given, self._span_id = self._span_id, None
        return given or self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        given, self._trace_id = self._trace_id, None
        return given or self._random.generate_trace_id()


class _Ended(SpanProcessor):
    """Keeps the spans that ended."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def taken(self) -> list[ReadableSpan]:
        spans, self._spans = self._spans, []
        return spans


def _allowed(values: Mapping[str, Value]) -> Iterator[tuple[str, str | int | bool]]:
    for name, value in values.items():
        if name in ATTRIBUTES and value is not None:
            is_name = isinstance(value, str) and name != "twite.receipt"
            yield name, _masked(str(value)) if is_name else value


@lru_cache(maxsize=1_024)
def _masked(text: str) -> str:
    """Return a text without persons: a name in the settings may be one."""
    return masked_text(text, plain=True)


def _context_of(header: bytes | None) -> SpanContext | None:
    """Return the context of a `traceparent` header; None if it has none.

    W3C Trace Context, 3.2. The list `tracestate` is not read, because it can hold any text.
    """
    found = _PARENT.match(header or b"")
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def _resource() -> Resource:
    """Return OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, or the name `twite`."""
    found = Resource.create({SERVICE_VERSION: __version__})
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "twite"}))
    return found
