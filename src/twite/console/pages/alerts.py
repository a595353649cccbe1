"""The alerts page: open alerts by cause, their history, and users' replies to them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.render import masked
from twite.console.scope import known_names, scope_of
from twite.console.table_view import table_view
from twite.console.visible_alerts import (
    PATH,
    affected_path,
    alerts_path,
    shown_causes,
    visible,
)
from twite.domain.alert import (
    RULES,
    Acknowledgement,
    Alert,
    AlertReplies,
    Mute,
    mute_subject,
)
from twite.domain.destination import Destination
from twite.domain.people.users import AuditAction, Role
from twite.domain.times import DAY, HOUR, spelled
from twite.gateway.alerts.alert_store import read_replies
from twite.gateway.alerts.notifier import why_not
from twite.gateway.ports import transport
from twite.gateway.ports.state import StateStore

# How long an alert can be muted, by the value of the form.
MUTES: Final[Mapping[str, tuple[str, int]]] = {
    "1h": ("1 hour", HOUR),
    "8h": ("8 hours", 8 * HOUR),
    "1d": ("1 day", DAY),
    "7d": ("7 days", 7 * DAY),
    "30d": ("30 days", 30 * DAY),
}
_ON_PAGE: Final = 20  # more if several were resolved at the same time: one check resolves many
_SHOWN: Final = 200
_NONE_LEFT: Final = "Nothing was changed: these alerts are resolved, or you do not see them."

SendsTest = Callable[[], Awaitable[transport.Response | transport.NoResponse]]


class PastAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved alert in the history."""

    alert: Alert
    title: str
    path: str
    acknowledgement: Acknowledgement | None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class AlertsPage:
    """The alerts page. `send_test` is None without a webhook."""

    state: StateStore
    destinations: Mapping[str, Destination]
    send_test: SendsTest | None

    @property
    def routes(self) -> Sequence[PageRoute]:
        location = PageLocation("Alerts", NavigationGroup.QUALITY)
        operator = Role.OPERATOR
        return (
            PageRoute("GET", PATH, self._show, location=location),
            PageRoute("POST", f"{PATH}/acknowledge", self._acknowledge, role=operator),
            PageRoute("POST", f"{PATH}/mute", self._mute, role=operator),
            PageRoute("POST", f"{PATH}/test", self._test, role=operator),
        )

    async def _show(self, request: PageRequest) -> Response:
        scope = scope_of(request, self.destinations)
        alerts = visible(await self.state.load(Alert), scope.seen)
        replies = await read_replies(self.state)
        open_alerts = [alert for alert in alerts if alert.resolved_at is None]
        past, further = self._past(request, alerts, replies)
        return request.page(
            "alerts/alerts.html",
            title="Alerts",
            causes=shown_causes(
                open_alerts, replies, pixels=self.destinations.keys(), now=request.now
            ),
            past=past,
            further=further,
            is_first=request.query.number("before") is None,
            view=table_view(
                request,
                filters=[
                    ("account", "Account", request.query.first("account")),
                    ("pixel", "Pixel", request.query.first("pixel")),
                ],
                known=known_names(request, self.destinations),
                place="before",
            ),
            query=_path(request).removeprefix(PATH),
            mutes=[(key, text) for key, (text, _) in MUTES.items()],
            may_reply=request.viewer.may(Role.OPERATOR),
            may_test=request.viewer.may(Role.OPERATOR) and request.viewer.pixels is None,
            has_webhook=self.send_test is not None,
        )

    def _past(
        self, request: PageRequest, alerts: Sequence[Alert], replies: AlertReplies
    ) -> tuple[list[PastAlert], int | None]:
        """Return a page of resolved alerts, the latest first, and where the next one begins."""
        before = request.query.number("before")
        resolved = sorted(
            (
                (alert.resolved_at, alert.id, alert)
                for alert in alerts
                if alert.resolved_at is not None and (before is None or alert.resolved_at < before)
            ),
            reverse=True,
        )
        last = resolved[_ON_PAGE - 1][0] if len(resolved) > _ON_PAGE else 0
        shown = [alert for at, _, alert in resolved if at >= last]
        past = [
            PastAlert(
                alert=alert,
                title=RULES[alert.kind].title,
                path=affected_path(alert, self.destinations.keys()),
                acknowledgement=replies.acknowledgement(alert),
            )
            for alert in shown
        ]
        return past, last if len(shown) < len(resolved) else None

    async def _chosen(self, request: PageRequest) -> list[Alert]:
        """Return the open, visible alerts that a form names."""
        ids = frozenset(request.form.first("alerts").split())
        alerts = visible(await self.state.load(Alert), request.viewer.pixels)
        return [alert for alert in alerts if alert.id in ids and alert.resolved_at is None]

    async def _acknowledge(self, request: PageRequest) -> Response:
        chosen = await self._chosen(request)
        if not chosen:
            return request.back_to(_path(request), message=_NONE_LEFT, bad=True)
        who = request.viewer.name
        await self.state.put(
            [Acknowledgement(alert=alert.id, at=request.now, who=who) for alert in chosen],
            audit_event=request.audit_event(
                AuditAction.ALERT_ACKNOWLEDGE, chosen[0].kind, _subjects(chosen)
            ),
        )
        return request.back_to(
            _path(request), message="Acknowledged. Reminders stop until the alert is resolved."
        )

    async def _mute(self, request: PageRequest) -> Response:
        chosen = await self._chosen(request)
        name, lasts = MUTES.get(request.form.first("for"), ("", 0))
        if not chosen or not name:
            return request.back_to(_path(request), message=_NONE_LEFT, bad=True)
        subjects = [mute_subject(*alert.key) for alert in chosen]
        if request.form.first("end"):
            audit_event = request.audit_event(
                AuditAction.ALERT_MUTE, chosen[0].kind, f"ended: {_subjects(chosen)}"
            )
            await self.state.delete(Mute, *subjects, audit_event=audit_event)
            return request.back_to(_path(request), message="The mute has ended.")
        who, until = request.viewer.name, request.now + lasts
        await self.state.put(
            [Mute(subject=muted, until=until, at=request.now, who=who) for muted in subjects],
            audit_event=request.audit_event(
                AuditAction.ALERT_MUTE,
                chosen[0].kind,
                f"until {spelled(until)}: {_subjects(chosen)}",
            ),
        )
        return request.back_to(_path(request), message=f"Muted for {name}.")

    async def _test(self, request: PageRequest) -> Response:
        if self.send_test is None or request.viewer.pixels is not None:
            return request.back_to(_path(request), message="Nothing was sent.", bad=True)
        await request.note(AuditAction.ALERT_TEST)
        response = await self.send_test()
        refused = why_not(response)
        said = "accepted" if refused is None else "did not accept"
        return request.back_to(
            _path(request),
            message=f"The webhook {said} the test message: {_words(response)}",
            bad=refused is not None,
        )


def _path(request: PageRequest) -> str:
    """Return the URL of the page with the filter and the place of a request, also of a form."""
    fields = {name: request.query.first(name) for name in ("account", "pixel", "before")}
    return alerts_path({name: value for name, value in fields.items() if value})


def _subjects(alerts: Sequence[Alert]) -> str:
    return " ".join(alert.subject for alert in alerts)[:_SHOWN]


def _words(response: transport.Response | transport.NoResponse) -> str:
    if isinstance(response, transport.NoResponse):
        return response.reason
    body = response.body[:_SHOWN].decode("utf-8", "replace")
    return masked(f"{response.status} {body}".strip())
