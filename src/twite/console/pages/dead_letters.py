"""Dead letters and held: in heaps by X's reason; looked at, mended, sent again or given up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from twite.console.page import FormData, NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.request_checks import AccessDenied
from twite.console.scope import TONES, EventNames, scope_of, worth_of
from twite.domain.delivery import State
from twite.domain.destination import Destination
from twite.domain.history import History
from twite.domain.people.users import AuditAction, Role
from twite.gateway.operations.dry_run import DryRun, DryRunResult
from twite.gateway.operations.edit import DIVISORS, DROPPABLE, Edit
from twite.gateway.operations.explain import masked
from twite.gateway.ports.outbox import Discard, EditBodies, EditedBody, Moves, Replay
from twite.gateway.ports.queries import (
    COUNTED,
    ErrorGroup,
    InErrorGroup,
    Queries,
    QueryScope,
    RestingAmong,
)
from twite.gateway.ports.tags import PREFIX

PATH: Final = "/console/dead"
_ON_A_PAGE: Final = 100
_AT_A_TIME: Final = 250
_PREVIEWED: Final = 3
_LONGEST_NOTE: Final = 300
CONFIRMED: Final = "yes"
TODAY: Final = "@today"  # no event of X's is called so


class EditPreview(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion as it was, and as it would go."""

    life: History
    before: str
    after: str
    fault: str | None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DeadLettersPage:
    """What waits for a person's decision."""

    destinations: Mapping[str, Destination]
    heaps: Queries
    rehearse: DryRun
    moves: Moves
    _name: EventNames = field(init=False)

    def __post_init__(self) -> None:
        self._name = EventNames(self.destinations)

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Dead letters and held", NavigationGroup.MEND)
        return (
            PageRoute("GET", PATH, self._list, place=place),
            PageRoute("GET", f"{PATH}/heap", self._heap),
            PageRoute("POST", f"{PATH}/preview", self._preview, role=Role.OPERATOR),
            PageRoute("POST", f"{PATH}/replay", self._replay, role=Role.OPERATOR),
            PageRoute("POST", f"{PATH}/discard", self._discard, role=Role.OPERATOR),
        )

    async def _list(self, visit: PageRequest) -> Response:
        scope = scope_of(visit)
        found = await self.heaps.group(scope)
        return visit.page(
            "dead_letters.html",
            title="Dead letters and held",
            heaps=[(heap, self._name(heap.pixel, heap.event), _query(heap)) for heap in found],
            counted=COUNTED,
            tones=TONES,
            pixels=visit.viewer.of(self.destinations),
            scope=scope,
        )

    async def _heap(self, visit: PageRequest) -> Response:
        if not visit.query.first("state"):
            return visit.back_to(PATH)
        heap = self._heap_of(visit, visit.query)
        scope = QueryScope(pixels=visit.viewer.pixels)
        after = visit.query.number("after") or 0
        found = await self.heaps.find(
            InErrorGroup(scope=scope, group=heap, after=after, limit=_ON_A_PAGE + 1)
        )
        lives = found[:_ON_A_PAGE]
        return visit.page(
            "error_group.html",
            title="Held" if heap.state is State.HELD else "Dead letters",
            heap=heap,
            name=self._name(heap.pixel, heap.event),
            lines=[
                (life, worth_of(life.sent), self.rehearse.doubt(life, now=visit.now))
                for life in lives
            ],
            further=lives[-1].delivery if len(found) > _ON_A_PAGE else None,
            query=_query(heap),
            is_first=after == 0,
            mendable=_mendable(heap),
            events=self._name.of(heap.pixel),
            today=TODAY,
            droppable=DROPPABLE,
            divisors=DIVISORS,
            tone=TONES[heap.state],
        )

    async def _preview(self, visit: PageRequest) -> Response:
        """Show what would go out, and do nothing."""
        heap, lives = await self._chosen(visit)
        mend = self._mend_of(visit.form, heap)
        tried = await self._rehearsed(visit, lives, mend)
        return visit.page(
            "preview.html",
            title="What would be sent",
            heap=heap,
            name=self._name(heap.pixel, heap.event),
            mend=mend,
            today=TODAY,
            # To mask a body takes longer than all else that is done to it.
            shown=[_previewed(result) for result in tried[:_PREVIEWED]],
            lives=lives,
            whole=visit.form.first("which") == "all",
            faults=sum(result.mended.fault is not None for result in tried),
            doubtful=[result for result in tried if result.doubt is not None],
            query=_query(heap),
        )

    async def _replay(self, visit: PageRequest) -> Response:
        heap, lives = await self._chosen(visit)
        mend = self._mend_of(visit.form, heap)
        there = f"{PATH}/heap?{_query(heap)}"
        tried = await self._rehearsed(visit, lives, mend)
        doubtful = [result.life.delivery for result in tried if result.doubt is not None]
        sure = visit.form.first("may_count_twice") == CONFIRMED
        if doubtful and not sure:
            message = (
                f"Nothing was sent: {'X' if _mendable(heap) else 'its vendor'} may have "
                f"{len(doubtful)} of them already, and could count them twice. Look at what would "
                "be sent, and confirm it there."
            )
            return visit.back_to(there, message=message, bad=True)
        detail = f"{len(lives)} for: {heap.reason}"
        if mend.changes:
            detail = f"{detail}; {mend.sentence}"
        if doubtful:
            detail = f"{detail}; may count twice: confirmed"
        deed = visit.deed(AuditAction.REPLAY, f"{heap.pixel} {heap.event}", detail)
        if not mend.changes:
            replay = Replay(deliveries=[live.delivery for live in lives], sure=doubtful)
            done = await self.moves.move(replay, now=visit.now, deed=deed)
            return visit.back_to(
                PATH, message=f"{done.moved} queued again, with their ids and bodies."
            )
        edit = EditBodies(
            edited=[
                EditedBody(
                    delivery=result.life.delivery,
                    event=result.mended.event,
                    body=result.mended.body,
                )
                for result in tried
                if result.mended.fault is None
            ],
            note=f"{visit.viewer.name}: {mend.sentence}",
            sure=doubtful,
        )
        refused = dict((await self.moves.move(edit, now=visit.now, deed=deed)).refused)
        refused |= {
            result.life.delivery: result.mended.fault
            for result in tried
            if result.mended.fault is not None
        }
        many = len(tried) - len(refused)
        message = f"{many} queued again with {mend.sentence}, under their conversion ids."
        if refused:
            why = "; ".join(sorted(set(refused.values())))
            message = f"{message} {len(refused)} stay as they are: {why}."
        return visit.back_to(there if refused else PATH, message=message, bad=not many)

    async def _discard(self, visit: PageRequest) -> Response:
        heap, lives = await self._chosen(visit)
        note = visit.form.first("note").strip()[:_LONGEST_NOTE]
        if not note:
            there = f"{PATH}/heap?{_query(heap)}"
            return visit.back_to(
                there, message="Say why: the note is stored as the reason.", bad=True
            )
        discard = Discard(
            deliveries=[life.delivery for life in lives], note=f"{visit.viewer.name}: {note}"
        )
        done = await self.moves.move(
            discard,
            now=visit.now,
            deed=visit.deed(
                AuditAction.DISCARD, f"{heap.pixel} {heap.event}", f"{len(lives)}: {note}"
            ),
        )
        return visit.back_to(PATH, message=f"{done.moved} discarded. They count as suppressed.")

    async def _chosen(self, visit: PageRequest) -> tuple[ErrorGroup, list[History]]:
        """Return the heap and those of it that are meant. Raises Closed where it is none."""
        form = visit.form
        heap = self._heap_of(visit, form)
        scope = QueryScope(pixels=visit.viewer.pixels)
        found: list[History] = []
        if form.first("which") == "all":
            after = 0
            while len(found) < COUNTED:
                some = await self.heaps.find(
                    InErrorGroup(scope=scope, group=heap, after=after, limit=_AT_A_TIME)
                )
                found += some
                if len(some) < _AT_A_TIME:
                    break
                after = some[-1].delivery
        else:
            ids = form.numbers("delivery")
            found = [
                life
                for life in await self.heaps.find(RestingAmong(scope=scope, deliveries=ids))
                if (life.pixel, life.event, life.state) == (heap.pixel, heap.event, heap.state)
            ]
        if not found:
            raise AccessDenied(409, "Nothing was chosen", "Select some, or choose all of them.")
        return heap, found

    def _heap_of(self, visit: PageRequest, form: FormData) -> ErrorGroup:
        """Return the heap that a form names. Raises Closed: others' pixels have none, either."""
        state, pixel = form.first("state"), form.first("pixel")
        if state not in {State.DEAD, State.HELD} or not visit.viewer.sees(pixel):
            raise AccessDenied(404, "Nothing here", "No such error group. Load the list again.")
        return ErrorGroup(
            pixel=pixel,
            event=form.first("event"),
            state=State(state),
            reason=form.first("reason"),
            deliveries=0,
            first_at=0,
            last_at=0,
        )

    def _mend_of(self, form: FormData, heap: ErrorGroup) -> Edit:
        """Return what is to be changed. Raises Closed: nothing is left out without a word."""
        event, divide, drop = form.first("event_to"), form.first("divide"), form.all("drop")
        if event not in {"", TODAY, *self._name.of(heap.pixel).values()}:
            raise AccessDenied(
                409,
                "Not mapped any more",
                f"{event[:60]} is no event of {heap.pixel} in twite.toml. Nothing was done: go "
                "back to the error group, load it again, and choose another.",
            )
        if divide not in {"", *map(str, DIVISORS)} or not DROPPABLE.keys() >= set(drop):
            raise AccessDenied(
                409,
                "No such change",
                "Nothing was done. Load the error group again, and choose again.",
            )
        mend = Edit(
            today=event == TODAY,
            event=None if event in {"", TODAY} else event,
            currency=form.first("currency").strip() or None,
            value=form.first("value").strip() or None,
            divide=int(divide) if divide else None,
            drop=tuple(drop),
        )
        if mend.changes and not _mendable(heap):
            raise AccessDenied(
                409,
                "Cannot be edited",
                "The events of tags cannot be edited. "
                "Nothing was done: send them again unchanged, or discard them.",
            )
        return mend

    async def _rehearsed(
        self, visit: PageRequest, lives: Sequence[History], mend: Edit
    ) -> list[DryRunResult]:
        scope = QueryScope(pixels=visit.viewer.pixels)
        return await self.rehearse.each(lives, mend, now=visit.now, scope=scope)


def _mendable(heap: ErrorGroup) -> bool:
    """Return whether what rests is in X's words: a tag's is not."""
    return not heap.pixel.startswith(PREFIX)


def _previewed(result: DryRunResult) -> EditPreview:
    return EditPreview(
        life=result.life,
        before=masked(result.life.sent),
        after=masked(result.mended.body),
        fault=result.mended.fault,
    )


def _query(heap: ErrorGroup) -> str:
    return urlencode(
        {
            "pixel": heap.pixel,
            "event": heap.event,
            "state": heap.state.value,
            "reason": heap.reason,
        }
    )
