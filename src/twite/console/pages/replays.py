"""Replays: the plan, the start, the progress and the end of a batch; and discarding."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.responses import Response

from twite.console.latest_replays import listed_replay
from twite.console.page import FormData, PageRequest, PageRoute
from twite.console.pages.problems import PATH
from twite.console.problem_filter import (
    FILTERS,
    TODAY,
    ProblemFilter,
    ShownEdit,
    problem_filter,
    url_back,
)
from twite.console.problem_finder import ProblemFinder
from twite.console.request_checks import AccessDenied
from twite.console.scope import TONES, EventNames, worth_of
from twite.console.table_view import table_view
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.destination import Destination
from twite.domain.history import History
from twite.domain.people.users import AuditAction, Role
from twite.domain.replay_batch import ReplayBatch
from twite.gateway.operations.dry_run import DryRun, DryRunResult
from twite.gateway.operations.edit import DIVISORS, DROPPABLE, Edit
from twite.gateway.operations.explain import FieldChange, changes
from twite.gateway.operations.refused_time import no_replay
from twite.gateway.operations.replays import BatchPart, Replays, cancel_event, new_replay
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.outbox import Discard, Moves
from twite.gateway.ports.queries import (
    COUNTED,
    ByDelivery,
    ErrorGroup,
    Queries,
    RestingAmong,
)
from twite.gateway.ports.tags import PREFIX

REPLAYS_PATH: Final = f"{PATH}/replays"
CONFIRMED: Final = "yes"
_AT_A_TIME: Final = 250
_SHOWN: Final = 5
_DOUBTS_SHOWN: Final = 20
_LONGEST_NOTE: Final = 300
_REFUSALS_SHOWN: Final = 8
_NONE_SELECTED: Final = (
    "Nothing was changed: you chose those selected below, and selected none. Select conversions, "
    "or choose all of them."
)
# A tick that is overlooked would send or discard all the others.
_UNCLEAR: Final = (
    "Nothing was changed: you chose all conversions of the problem, and selected some. Choose "
    "“those selected below”, or remove the ticks."
)
_REFUSALS: Final = frozenset(
    {DeliveryCause.EVENT_UNKNOWN, DeliveryCause.REFUSED, DeliveryCause.REFUSED_ALIKE}
)
_ON_A_PAGE: Final = 50
_MOST_LOOKED_AT: Final = 1_000
# The figures of a replay, and the conversions that each one counts.
_FIGURES: Final[Mapping[str, tuple[BatchPart, frozenset[State]]]] = {
    "delivered": (BatchPart.QUEUED, frozenset({State.DELIVERED})),
    "queued": (BatchPart.QUEUED, frozenset({State.QUEUED, State.SENDING})),
    "left": (BatchPart.LEFT, frozenset(State)),
    "refused again": (BatchPart.QUEUED, frozenset({State.DEAD})),
    "held": (BatchPart.QUEUED, frozenset({State.HELD})),
    "unchanged": (BatchPart.UNCHANGED, frozenset(State)),
    "suppressed": (BatchPart.QUEUED, frozenset({State.SUPPRESSED})),
}
# The fields that a plan keeps until it is sent, besides those that are given several times.
_KEPT: Final = ("problem", *FILTERS, "which", "event_to", "currency", "value", "divide")


class ChangedConversion(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion of a plan, and the fields that the edit changes."""

    history: History
    changes: tuple[FieldChange, ...]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ReplaysPage:
    """The pages of a replay."""

    destinations: Mapping[str, Destination]
    finder: ProblemFinder
    replays: Replays
    queries: Queries
    dry_run: DryRun
    moves: Moves
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        path = f"{REPLAYS_PATH}/{{replay}}"
        return (
            PageRoute("POST", f"{PATH}/plan", self._plan, role=Role.OPERATOR),
            PageRoute("POST", REPLAYS_PATH, self._start, role=Role.OPERATOR),
            PageRoute("POST", f"{PATH}/discard", self._discard, role=Role.OPERATOR),
            PageRoute("GET", path, self._follow),
            PageRoute("POST", f"{path}/cancel", self._cancel, role=Role.OPERATOR),
        )

    async def _plan(self, request: PageRequest) -> Response:
        """Show what a replay would do, without doing it."""
        if unclear := _unclear(request.form):
            return request.back_to(url_back(request.form, PATH), message=unclear, bad=True)
        histories = await self._chosen(request)
        chosen_filter = self._filter(request)
        edit = self._edit_of(request.form, histories)
        scope = QueryScope(pixels=request.viewer.pixels)
        results = await self.dry_run.each(histories, edit, now=request.now, scope=scope)
        sent = [result for result in results if result.result.fault is None]
        changed = _changed(sent)
        return request.page(
            "plan.html",
            title="Plan of the replay",
            total=len(results),
            sent=len(sent),
            targets=self._targets(sent),
            pixels=len({result.history.pixel for result in sent}),
            chosen=chosen_filter,
            is_cut=len(results) == COUNTED,
            changed=changed,
            is_futile=bool(sent)
            and not changed
            and all(_is_refused(result.history) for result in sent),
            back=url_back(request.form, PATH),
            edit=edit,
            today=TODAY,
            faults=_counted(filter(None, (result.result.fault for result in results))),
            doubtful=[result for result in sent if result.doubt is not None],
            doubts_shown=_DOUBTS_SHOWN,
            form=request.form,
            kept=_KEPT,
        )

    async def _start(self, request: PageRequest) -> Response:
        if unclear := _unclear(request.form):
            return request.back_to(url_back(request.form, PATH), message=unclear, bad=True)
        chosen = await self._chosen(request)
        histories = [history for history in chosen if no_replay(history) is None]
        if not histories:
            message = f"Nothing was sent. {no_replay(chosen[0])}."
            return request.back_to(url_back(request.form, PATH), message=message, bad=True)
        edit = self._edit_of(request.form, histories)
        confirmed = request.form.first("may_count_twice") == CONFIRMED
        replay = new_replay(
            histories,
            edit,
            is_confirmed=confirmed,
            who=request.viewer.name,
            now=request.now,
            randomness=self.replays.randomness,
        )
        await self.replays.start(replay)
        return request.back_to(f"{REPLAYS_PATH}/{replay.batch.id}")

    async def _follow(self, request: PageRequest) -> Response:
        batch = await self._batch(request)
        of = request.query.first("of") if request.query.first("of") in _FIGURES else ""
        histories, further = await self._conversions(request, batch, of)
        progress = await self.replays.records.progress(batch)
        refusals = await self.replays.records.refusals(batch)
        return request.page(
            "replay.html",
            title="Replay",
            batch=batch,
            replay=listed_replay(batch, progress),
            of=of,
            view=table_view(
                request,
                filters=[("of", "Conversions", of)],
                known={"of": _FIGURES},
                place="after",
            ),
            linked=() if batch.taken_back else _FIGURES,
            lines=[(history, worth_of(history.sent), None) for history in histories],
            further=further,
            tones=TONES,
            names=self.names,
            edit=ShownEdit(),
            progress=progress,
            name=self.names(batch.pixel, batch.event),
            sentence=msgspec.json.decode(batch.edit, type=Edit).sentence,
            refusals=_counted(why for _, why in refusals)[:_REFUSALS_SHOWN],
            is_over=progress.is_settled,
        )

    async def _conversions(
        self, request: PageRequest, batch: ReplayBatch, of: str
    ) -> tuple[list[History], int | None]:
        """Return a page of a figure's conversions, and where the next one begins."""
        scope = QueryScope(pixels=request.viewer.pixels)
        among, states = _FIGURES.get(of, (BatchPart.ALL, frozenset(State)))
        deliveries = await self.replays.records.deliveries(batch, among)
        first = request.query.number("after") or 0
        place = first
        found: list[History] = []
        last = min(len(deliveries), first + _MOST_LOOKED_AT)
        while place < last and len(found) < _ON_A_PAGE:
            some = deliveries[place : min(last, place + _ON_A_PAGE)]
            histories = await self.queries.find(ByDelivery(scope=scope, deliveries=some))
            by_delivery = {history.delivery: history for history in histories}
            for delivery in some:
                if len(found) == _ON_A_PAGE:
                    break
                place += 1
                history = by_delivery.get(delivery)
                if history is not None and history.state in states:
                    found.append(history)
        return found, place if place < len(deliveries) else None

    async def _cancel(self, request: PageRequest) -> Response:
        batch = await self._batch(request)
        audit_event = cancel_event(batch, who=request.viewer.name, now=request.now)
        taken = await self.replays.cancel(batch, audit_event=audit_event)
        message = f"Cancelled. {taken} were queued, and wait for a decision again."
        return request.back_to(f"{REPLAYS_PATH}/{batch.id}", message=message)

    async def _batch(self, request: PageRequest) -> ReplayBatch:
        batch = await self.replays.records.find(request.part("replay"))
        if batch is None or not batch.is_within(request.viewer.pixels):
            raise AccessDenied(404, "No such replay", "Replays are kept for 30 days.")
        return batch

    async def _discard(self, request: PageRequest) -> Response:
        note = request.form.first("note").strip()[:_LONGEST_NOTE]
        unclear = "" if note else "Enter a note. The note is stored as the reason."
        if unclear := unclear or _unclear(request.form):
            return request.back_to(url_back(request.form, PATH), message=unclear, bad=True)
        histories = await self._chosen(request)
        pixels = sorted({history.pixel for history in histories})
        done = await self.moves.move(
            Discard(
                deliveries=[history.delivery for history in histories],
                note=f"{request.viewer.name}: {note}",
            ),
            now=request.now,
            audit_event=request.audit_event(
                AuditAction.DISCARD, " ".join(pixels), f"{len(histories)}: {note}"
            ),
        )
        return request.back_to(PATH, message=f"{done.moved} discarded. They count as suppressed.")

    async def _chosen(self, request: PageRequest) -> list[History]:
        """Return the selected conversions. Raises AccessDenied if there are none."""
        form = request.form
        found: list[History] = []
        if form.first("which") == "all":
            chosen_filter = self._filter(request)
            problem = await self.finder.find(request, form.first("problem"), chosen_filter)
            if problem is not None:
                found = await self._of_groups(problem.groups, chosen_filter)
        else:
            scope = QueryScope(pixels=request.viewer.pixels)
            ids = form.numbers("delivery")
            found = list(await self.queries.find(RestingAmong(scope=scope, deliveries=ids)))
        if not found:
            raise AccessDenied(
                409, "Nothing was selected", "Select conversions, or choose all of them."
            )
        return found

    def _filter(self, request: PageRequest) -> ProblemFilter:
        """Return the filter of a form, up to the time of the request.

        A plan keeps this end, so that what it starts is what it has shown.
        """
        chosen_filter = problem_filter(request, self.destinations, request.form)
        until = min(chosen_filter.until, request.now + 1)
        time_range = msgspec.structs.replace(chosen_filter.time_range, until=until)
        return msgspec.structs.replace(chosen_filter, time_range=time_range)

    async def _of_groups(
        self, groups: Sequence[ErrorGroup], chosen_filter: ProblemFilter
    ) -> list[History]:
        found: list[History] = []
        after = 0
        while len(found) < COUNTED:
            limit = min(_AT_A_TIME, COUNTED - len(found))
            some = await self.queries.find(
                chosen_filter.selection(groups, after=after, limit=limit)
            )
            found += some
            if len(some) < limit:
                break
            after = some[-1].delivery
        return found

    def _edit_of(self, form: FormData, histories: Sequence[History]) -> Edit:
        """Return the edit that a form describes. Raises AccessDenied for an invalid field."""
        event, divide, drop = form.first("event_to"), form.first("divide"), form.all("drop")
        pixels = sorted({history.pixel for history in histories})
        known = self.names.of(pixels[0]).values() if len(pixels) == 1 else ()
        if event not in {"", TODAY, *known}:
            raise AccessDenied(
                409,
                "No longer mapped",
                f"{event[:60]} is not an event of {pixels[0]} in twite.toml. Nothing was changed. "
                "Reload the problem and choose another event.",
            )
        if divide not in {"", *map(str, DIVISORS)} or not DROPPABLE.keys() >= set(drop):
            raise AccessDenied(
                409, "Unknown change", "Nothing was changed. Reload the problem and choose again."
            )
        edit = Edit(
            today=event == TODAY,
            event=None if event in {"", TODAY} else event,
            currency=form.first("currency").strip() or None,
            value=form.first("value").strip() or None,
            divide=int(divide) if divide else None,
            drop=tuple(drop),
        )
        if edit.changes and any(pixel.startswith(PREFIX) for pixel in pixels):
            raise AccessDenied(
                409,
                "Cannot be edited",
                "The events of tags cannot be edited. Nothing was changed. Send the events again "
                "unchanged, or discard them.",
            )
        return edit

    def _targets(self, sent: Sequence[DryRunResult]) -> list[tuple[str, str, str, int]]:
        """Return (pixel, event, its name, conversions), most first."""
        counted = Counter((result.history.pixel, result.result.event) for result in sent)
        return [
            (pixel, event, self.names(pixel, event), count)
            for (pixel, event), count in counted.most_common()
        ]


def _unclear(form: FormData) -> str:
    """Return why a form chooses no conversions, or both all and some of them; "" if it does not."""
    if form.first("which") == "all":
        return _UNCLEAR if form.all("delivery") else ""
    return "" if form.numbers("delivery") else _NONE_SELECTED


def _changed(sent: Sequence[DryRunResult]) -> list[ChangedConversion]:
    """Return the first conversions that the edit changes, with the fields that differ."""
    made: list[ChangedConversion] = []
    for result in sent:
        if len(made) == _SHOWN:
            break
        if result.result.body != result.history.sent:
            different = changes(result.history.sent, result.result.body)
            if different:
                made.append(ChangedConversion(history=result.history, changes=different))
    return made


def _is_refused(history: History) -> bool:
    """Return whether X has refused this conversion, so that it refuses the same body again."""
    if history.pixel.startswith(PREFIX):
        return False
    return history.cause in _REFUSALS or (history.cause is None and history.state is State.DEAD)


def _counted(texts: Iterable[str]) -> list[tuple[str, int]]:
    return Counter(texts).most_common()
