"""Dead letters and held deliveries: groups by X's error, to edit, replay or discard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.outbox import Discard, EditBodies, EditedBody, Moves, Replay
from twite.gateway.ports.queries import COUNTED, ErrorGroup, InErrorGroup, Queries, RestingAmong
from twite.gateway.ports.tags import PREFIX

PATH: Final = "/console/dead"
_ON_A_PAGE: Final = 100
_AT_A_TIME: Final = 250
_PREVIEWED: Final = 3
_LONGEST_NOTE: Final = 300
CONFIRMED: Final = "yes"
TODAY: Final = "@today"  # no event of X has this name


class EditPreview(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion before and after an edit."""

    history: History
    before: str
    after: str
    fault: str | None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DeadLettersPage:
    """The pages of deliveries that need a user's decision."""

    destinations: Mapping[str, Destination]
    queries: Queries
    dry_run: DryRun
    moves: Moves
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Dead letters and held", NavigationGroup.CONVERSIONS)
        return (
            PageRoute("GET", PATH, self._list, location=place),
            PageRoute("GET", f"{PATH}/group", self._error_group),
            PageRoute("POST", f"{PATH}/preview", self._preview, role=Role.OPERATOR),
            PageRoute("POST", f"{PATH}/replay", self._replay, role=Role.OPERATOR),
            PageRoute("POST", f"{PATH}/discard", self._discard, role=Role.OPERATOR),
        )

    async def _list(self, request: PageRequest) -> Response:
        scope = scope_of(request)
        return request.page(
            "dead_letters.html",
            title="Dead letters and held",
            error_groups=[
                (error_group, self.names(error_group.pixel, error_group.event), _query(error_group))
                for error_group in await self.queries.group(scope)
            ],
            counted=COUNTED,
            tones=TONES,
            pixels=request.viewer.of(self.destinations),
            scope=scope,
        )

    async def _error_group(self, request: PageRequest) -> Response:
        if not request.query.first("state"):
            return request.back_to(PATH)
        error_group = self._error_group_of(request, request.query)
        scope = QueryScope(pixels=request.viewer.pixels)
        after = request.query.number("after") or 0
        found = await self.queries.find(
            InErrorGroup(scope=scope, group=error_group, after=after, limit=_ON_A_PAGE + 1)
        )
        histories = found[:_ON_A_PAGE]
        return request.page(
            "error_group.html",
            title="Held" if error_group.state is State.HELD else "Dead letters",
            error_group=error_group,
            name=self.names(error_group.pixel, error_group.event),
            lines=[
                (history, worth_of(history.sent), self.dry_run.doubt(history, now=request.now))
                for history in histories
            ],
            further=histories[-1].delivery if len(found) > _ON_A_PAGE else None,
            query=_query(error_group),
            is_first=after == 0,
            mendable=_mendable(error_group),
            events=self.names.of(error_group.pixel),
            today=TODAY,
            droppable=DROPPABLE,
            divisors=DIVISORS,
            tone=TONES[error_group.state],
        )

    async def _preview(self, request: PageRequest) -> Response:
        """Show what would be sent, without sending it."""
        error_group, histories = await self._chosen(request)
        edit = self._edit_of(request.form, error_group)
        tried = await self._rehearsed(request, histories, edit)
        return request.page(
            "preview.html",
            title="What would be sent",
            error_group=error_group,
            name=self.names(error_group.pixel, error_group.event),
            edit=edit,
            today=TODAY,
            # Masking a body takes longer than all other steps.
            shown=[_previewed(result) for result in tried[:_PREVIEWED]],
            histories=histories,
            whole=request.form.first("which") == "all",
            faults=sum(result.result.fault is not None for result in tried),
            doubtful=[result for result in tried if result.doubt is not None],
            query=_query(error_group),
        )

    async def _replay(self, request: PageRequest) -> Response:
        error_group, histories = await self._chosen(request)
        edit = self._edit_of(request.form, error_group)
        there = f"{PATH}/group?{_query(error_group)}"
        tried = await self._rehearsed(request, histories, edit)
        doubtful = [result.history.delivery for result in tried if result.doubt is not None]
        sure = request.form.first("may_count_twice") == CONFIRMED
        if doubtful and not sure:
            message = (
                f"Nothing was sent: {'X' if _mendable(error_group) else 'the vendor'} may already "
                f"have {len(doubtful)} of them and could count them twice. Open the preview and "
                "confirm there."
            )
            return request.back_to(there, message=message, bad=True)
        detail = f"{len(histories)} for: {error_group.reason}"
        if edit.changes:
            detail = f"{detail}; {edit.sentence}"
        if doubtful:
            detail = f"{detail}; may count twice: confirmed"
        audit_event = request.audit_event(
            AuditAction.REPLAY, f"{error_group.pixel} {error_group.event}", detail
        )
        if not edit.changes:
            replay = Replay(deliveries=[history.delivery for history in histories], sure=doubtful)
            done = await self.moves.move(replay, now=request.now, audit_event=audit_event)
            return request.back_to(
                PATH, message=f"{done.moved} queued again, with their ids and bodies."
            )
        bodies = EditBodies(
            edited=[
                EditedBody(
                    delivery=result.history.delivery,
                    event=result.result.event,
                    body=result.result.body,
                )
                for result in tried
                if result.result.fault is None
            ],
            note=f"{request.viewer.name}: {edit.sentence}",
            sure=doubtful,
        )
        refused = dict(
            (await self.moves.move(bodies, now=request.now, audit_event=audit_event)).refused
        )
        refused |= {
            result.history.delivery: result.result.fault
            for result in tried
            if result.result.fault is not None
        }
        many = len(tried) - len(refused)
        message = f"{many} queued again with {edit.sentence}, under their conversion ids."
        if refused:
            why = "; ".join(sorted(set(refused.values())))
            message = f"{message} {len(refused)} were not changed: {why}."
        return request.back_to(there if refused else PATH, message=message, bad=not many)

    async def _discard(self, request: PageRequest) -> Response:
        error_group, histories = await self._chosen(request)
        note = request.form.first("note").strip()[:_LONGEST_NOTE]
        if not note:
            there = f"{PATH}/group?{_query(error_group)}"
            return request.back_to(
                there, message="Enter a note. The note is stored as the reason.", bad=True
            )
        discard = Discard(
            deliveries=[history.delivery for history in histories],
            note=f"{request.viewer.name}: {note}",
        )
        done = await self.moves.move(
            discard,
            now=request.now,
            audit_event=request.audit_event(
                AuditAction.DISCARD,
                f"{error_group.pixel} {error_group.event}",
                f"{len(histories)}: {note}",
            ),
        )
        return request.back_to(PATH, message=f"{done.moved} discarded. They count as suppressed.")

    async def _chosen(self, request: PageRequest) -> tuple[ErrorGroup, list[History]]:
        """Return the error group and its selected conversions.

        Raises AccessDenied if the group does not exist.
        """
        form = request.form
        error_group = self._error_group_of(request, form)
        scope = QueryScope(pixels=request.viewer.pixels)
        found: list[History] = []
        if form.first("which") == "all":
            after = 0
            while len(found) < COUNTED:
                some = await self.queries.find(
                    InErrorGroup(scope=scope, group=error_group, after=after, limit=_AT_A_TIME)
                )
                found += some
                if len(some) < _AT_A_TIME:
                    break
                after = some[-1].delivery
        else:
            ids = form.numbers("delivery")
            found = [
                history
                for history in await self.queries.find(RestingAmong(scope=scope, deliveries=ids))
                if (history.pixel, history.event, history.state)
                == (error_group.pixel, error_group.event, error_group.state)
            ]
        if not found:
            raise AccessDenied(
                409, "Nothing was selected", "Select conversions, or choose all of them."
            )
        return error_group, found

    def _error_group_of(self, request: PageRequest, form: FormData) -> ErrorGroup:
        """Return the error group that a form names.

        Raises AccessDenied, including for pixels that the user may not see.
        """
        state, pixel = form.first("state"), form.first("pixel")
        if state not in {State.DEAD, State.HELD} or not request.viewer.sees(pixel):
            raise AccessDenied(
                404, "Not found", "This error group no longer exists. Reload the list."
            )
        return ErrorGroup(
            pixel=pixel,
            event=form.first("event"),
            state=State(state),
            reason=form.first("reason"),
            deliveries=0,
            first_at=0,
            last_at=0,
        )

    def _edit_of(self, form: FormData, error_group: ErrorGroup) -> Edit:
        """Return the edit that a form describes. Raises AccessDenied for an invalid field."""
        event, divide, drop = form.first("event_to"), form.first("divide"), form.all("drop")
        if event not in {"", TODAY, *self.names.of(error_group.pixel).values()}:
            raise AccessDenied(
                409,
                "No longer mapped",
                f"{event[:60]} is not an event of {error_group.pixel} in twite.toml. Nothing was "
                f"changed. Go back to the error group, reload the page and choose another event.",
            )
        if divide not in {"", *map(str, DIVISORS)} or not DROPPABLE.keys() >= set(drop):
            raise AccessDenied(
                409,
                "Unknown change",
                "Nothing was changed. Reload the error group and choose again.",
            )
        edit = Edit(
            today=event == TODAY,
            event=None if event in {"", TODAY} else event,
            currency=form.first("currency").strip() or None,
            value=form.first("value").strip() or None,
            divide=int(divide) if divide else None,
            drop=tuple(drop),
        )
        if edit.changes and not _mendable(error_group):
            raise AccessDenied(
                409,
                "Cannot be edited",
                "The events of tags cannot be edited. Nothing was changed. Send the events again "
                "unchanged, or discard them.",
            )
        return edit

    async def _rehearsed(
        self, request: PageRequest, histories: Sequence[History], edit: Edit
    ) -> list[DryRunResult]:
        scope = QueryScope(pixels=request.viewer.pixels)
        return await self.dry_run.each(histories, edit, now=request.now, scope=scope)


def _mendable(error_group: ErrorGroup) -> bool:
    """Return whether the group is about a pixel: the conversions of tags cannot be edited."""
    return not error_group.pixel.startswith(PREFIX)


def _previewed(result: DryRunResult) -> EditPreview:
    return EditPreview(
        history=result.history,
        before=masked(result.history.sent),
        after=masked(result.result.body),
        fault=result.result.fault,
    )


def _query(error_group: ErrorGroup) -> str:
    return urlencode(
        {
            "pixel": error_group.pixel,
            "event": error_group.event,
            "state": error_group.state.value,
            "reason": error_group.reason,
        }
    )
