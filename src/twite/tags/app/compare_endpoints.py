"""Run captured traffic through the gateway's own intake rules: consent, robots, formats.

Google's container has neither a consent gate nor a robot filter; requests that it sent anyway are
expected differences.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from twite.consent.verdict import judging
from twite.domain.consent import ConsentAction
from twite.domain.destination import Destination, Source
from twite.domain.errors import MalformedRequest
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Masked
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.conversions import as_seen, in_our_words, parse_events
from twite.formats.event_data.values import first_text
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.native.values import identifiers_of
from twite.formats.page_visit import Visitor, cookies_of
from twite.formats.parsed_request import Event, TagEvent
from twite.gateway.ports.tags import policy_for
from twite.machine.system import SystemClock
from twite.tags.compare.capture import CapturedCase
from twite.tags.container.parts import ReadFields
from twite.tags.json_tree import Tree
from twite.tags.run.consent_signals import granted

_SEEN: Final = ("ip_override", "user_agent")
# As in a deployment without sources.
_NOBODYS: Final = Source(name="", key=None, pixel="", pixels=frozenset())
_READS: Final[Mapping[str, ReadFields]] = {
    "/g/collect": ReadFields.GA4,
    "/mp/collect": ReadFields.MEASUREMENT_PROTOCOL,
    "/data": ReadFields.DATA_TAG,
}


class EndpointResult(Masked, frozen=True, kw_only=True):
    """An event as tags see it. It holds personal data: its repr is masked.

    `granted` are the consent signals sent with it; `source` is the name of its source, and `region`
    the source's phone region; `kept_back` is the reason why tags do not receive it, or None.
    """

    event: dict[str, Tree]
    granted: dict[str, bool]
    source: str
    region: str | None
    kept_back: str | None


class CompareEndpoints:
    """The endpoints of the sources whose events the tags receive.

    `named` is the source of all requests.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        destinations: Mapping[str, Destination],
        *,
        source: Source | None = None,
    ) -> None:
        self._sources = tuple(sources) if source is None else (source,)
        self._destinations = destinations

    def entered(self, case: CapturedCase) -> list[EndpointResult]:
        """Return the events of a case. Raises MalformedRequest."""
        source = self._source(case.request)
        return [self._entered(event, case, source) for event in _events(case)]

    def _source(self, request: IncomingRequest) -> Source:
        """Return the source with the origin of the request's page, or else the first possible."""
        headers = dict(request.headers)
        origin = headers.get("origin") or _origin(headers.get("referer", ""))
        of_page = [source for source in self._sources if origin in source.origins]
        return next(iter([*of_page, *self._sources]), _NOBODYS)

    def _entered(self, event: Event, case: CapturedCase, source: Source) -> EndpointResult:
        tag_event = TagEvent(event=event, visitor=_visitor(case, source, event))
        native = in_our_words(tag_event)
        seen = event if case.event is not None else as_seen(tag_event)
        return EndpointResult(
            event=msgspec.convert(dict(seen), dict[str, Tree]),
            granted=granted(native.consent),
            source=source.name,
            region=source.region,
            kept_back=self._kept_back(tag_event, case, source),
        )

    def _kept_back(self, tag_event: TagEvent, case: CapturedCase, source: Source) -> str | None:
        found = parse_events(
            [tag_event.event],
            source=source,
            destinations=self._destinations,
            visitor=tag_event.visitor,
        )
        if not found.tag_events:
            return found.ignored[0].reason
        native = in_our_words(tag_event)
        # A case without a time gets the current time, which is used to judge a TC string.
        judge = judging(policy=policy_for(source.consent), now=case.now or SystemClock().now())
        identifiers = identifiers_of(native, region=source.region, faults=[], notes=[])
        verdict = judge(native.consent, identifiers, source.pixel)
        if verdict.action is ConsentAction.HOLD:
            return f"{verdict.reason}, held for a decision"
        return None if verdict.action is ConsentAction.SEND else verdict.reason


def reads_of(request: IncomingRequest) -> ReadFields | None:
    return _READS.get(request.path)


def _events(case: CapturedCase) -> Iterator[Event]:
    """Yield the events of a case, read from its request if they are not given."""
    if case.event is not None:
        yield case.event
        return
    request = case.request
    reads = reads_of(request)
    if reads is None:
        raise MalformedRequest(
            code="wrong_shape",
            path="request.path",
            message=f"no endpoint reads {request.path!r}: write `event` instead of `request`",
        )
    yield from _read(reads, request)


def _read(reads: ReadFields, request: IncomingRequest) -> Sequence[Event]:
    body = (request.body or "").encode("utf-8", "surrogatepass")
    if reads is ReadFields.GA4:
        return ga4.read(request.query, body).readable
    if reads is ReadFields.MEASUREMENT_PROTOCOL:
        return measurement_protocol.read(body, query=request.query, measurement="").readable
    form = "x-www-form-urlencoded" in dict(request.headers).get("content-type", "")
    return data_tag.read(request.query, body, form=form).readable


def _visitor(case: CapturedCase, source: Source, event: Event) -> Visitor:
    """Return the visitor of a request.

    A request with a key comes from a server, whose data about the visitor is trusted.
    """
    headers = dict(case.request.headers)
    keyed = "api_secret" in parse_qs(case.request.query) or "authorization" in headers
    if keyed:
        return Visitor(trusted=True, now=case.now)
    given = case.event is not None
    given_fields = {name: first_text(event, (name,)) if given else None for name in _SEEN}
    return Visitor(
        ip=case.request.remote_address or given_fields["ip_override"],
        user_agent=headers.get("user-agent") or given_fields["user_agent"],
        referer=headers.get("referer"),
        cookies=cookies_of(headers.get("cookie", "")),
        opted_out=headers.get("sec-gpc") == "1",
        value_limit=source.browser_value_limit,
        now=case.now,
    )


def _origin(page: str) -> str:
    """Return the origin of a page; for a page without one, that of its source."""
    try:
        parts = urlsplit(page)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
