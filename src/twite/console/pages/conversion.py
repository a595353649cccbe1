"""One conversion: its timeline, its copies, what became of each field, and sending it again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.console.pages.conversions import PATH
from twite.console.pages.replays import REPLAYS_PATH
from twite.console.remedies import remedy_of
from twite.console.request_checks import AccessDenied
from twite.console.scope import TONES, EventNames, worth_of
from twite.console.timeline import receiver_of, timeline, way_in
from twite.domain.delivery import State
from twite.domain.history import History
from twite.domain.people.users import Role
from twite.domain.stats.deduplication import KEPT_FOR
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.operations.dry_run import DryRun
from twite.gateway.operations.edit import Edit
from twite.gateway.operations.explain import masked, own_part, steps
from twite.gateway.operations.problem_keys import key_of
from twite.gateway.operations.refused_time import no_replay
from twite.gateway.operations.replays import Replays, new_replay
from twite.gateway.operations.reproduce import curl_of
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import (
    ByConversionId,
    ByReceipt,
    ConversionOrigin,
    PixelReportsQuery,
    Queries,
)

_ONE: Final = f"{PATH}/{{delivery}}"
_LONGEST_NUMBER: Final = 15
_UNSETTLED: Final = frozenset({State.QUEUED, State.SENDING})
_RESTS: Final = frozenset({State.DEAD, State.HELD})
_CONFIRMED: Final = "yes"


class ConversionCopy(msgspec.Struct, frozen=True, kw_only=True):
    """Another delivery of the same conversion; `relation` says how it came about."""

    history: History
    relation: str
    tone: str


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ConversionPage:
    """`watched` are the pixels whose pages report their calls to X's pixel.

    `url` is the gateway's public URL, None if it has none.
    """

    watched: frozenset[str]
    url: str | None
    queries: Queries
    count: DedupCount
    dry_run: DryRun
    replays: Replays
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", _ONE, self._show),
            PageRoute("POST", f"{_ONE}/resend", self._resend, role=Role.OPERATOR),
        )

    async def _show(self, request: PageRequest) -> Response:
        origin = await self._origin(request)
        history = origin.history
        reports = await self.queries.answer(
            PixelReportsQuery(
                pixel=history.pixel, event=history.event, conversion_id=history.conversion_id
            )
        )
        rests = history.state in _RESTS
        watched = history.pixel in self.watched
        # Orders with two ids are known only of pixels whose pages report.
        counted = await self.count.last() if watched else None
        return request.page(
            "conversion.html",
            title=history.conversion_id,
            history=history,
            origin=origin,
            way=way_in(origin.endpoint),
            receiver=receiver_of(history.pixel),
            name=self.names(history.pixel, history.event),
            tone=TONES[history.state],
            worth=worth_of(history.sent),
            timeline=timeline(origin, reports, now=request.now),
            copies=await self._copies(request, history),
            steps=steps(origin),
            pixel_reports=reports,
            watched=watched,
            other=None if counted is None else counted.other_ids.get(history.delivery),
            not_fired=[tag for tag in history.not_fired if request.viewer.sees(tag.tag)],
            forgotten=request.now - history.received_at > KEPT_FOR,
            came=masked(own_part(origin)),
            sent=masked(history.sent),
            consent=masked(history.consent or b""),
            curl=curl_of(origin, url=self.url or request.host.origin),
            rests=rests,
            remedy=remedy_of(history.cause, history.state, history) if rests else None,
            problem=key_of(history) if rests else "",
            doubt=self.dry_run.doubt(history, now=request.now) if rests else None,
            settled=history.state not in _UNSETTLED,
        )

    async def _resend(self, request: PageRequest) -> Response:
        history = (await self._origin(request)).history
        here = f"{PATH}/{history.delivery}"
        if history.state not in _RESTS:
            sentence = f"Nothing was changed: the conversion is {history.state.value}."
            return request.back_to(here, message=sentence, bad=True)
        if why := no_replay(history):
            return request.back_to(here, message=f"Nothing was sent. {why}.", bad=True)
        doubt = self.dry_run.doubt(history, now=request.now)
        if doubt is not None and request.form.first("may_count_twice") != _CONFIRMED:
            sentence = f"Nothing was sent: {doubt}. Tick the box if you want it sent anyway."
            return request.back_to(here, message=sentence, bad=True)
        replay = new_replay(
            [history],
            Edit(),
            is_confirmed=doubt is not None,
            who=request.viewer.name,
            now=request.now,
            randomness=self.replays.randomness,
        )
        await self.replays.start(replay)
        return request.back_to(f"{REPLAYS_PATH}/{replay.batch.id}")

    async def _origin(self, request: PageRequest) -> ConversionOrigin:
        """Return the conversion of the path. Raises AccessDenied."""
        part = request.part("delivery")
        scope = QueryScope(pixels=request.viewer.pixels)
        if part.isascii() and part.isdigit() and len(part) <= _LONGEST_NUMBER:
            origin = await self.queries.get(int(part), scope)
            if origin is not None:
                return origin
        raise AccessDenied(
            404, "Not found", "The conversion does not exist, or is no longer stored."
        )

    async def _copies(self, request: PageRequest, history: History) -> list[ConversionCopy]:
        """Return the conversion's deliveries to others, and its earlier and later copies."""
        siblings = await self.queries.find(
            ByReceipt(receipt=history.receipt, conversion_id=history.conversion_id)
        )
        others = await self.queries.find(
            ByConversionId(
                pixel=history.pixel, events=[history.event], conversion_id=history.conversion_id
            )
        )
        found: dict[int, ConversionCopy] = {}
        for copy in (*siblings, *others):
            if copy.delivery == history.delivery or not request.viewer.sees(copy.pixel):
                continue
            if copy.receipt == history.receipt:
                relation = "the same request, for another destination"
            elif copy.received_at < history.received_at:
                relation = "an earlier copy"
            else:
                relation = "a later copy"
            found.setdefault(
                copy.delivery,
                ConversionCopy(history=copy, relation=relation, tone=TONES[copy.state]),
            )
        return list(found.values())
