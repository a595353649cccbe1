"""Sources: their keys, pages, snippets, and what arrives from them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.responses import Response

from twite.console.account_health import CountedRow
from twite.console.page import (
    NOT_CONFIRMED,
    NavigationGroup,
    PageLocation,
    PageRequest,
    PageRoute,
    Reauthentication,
)
from twite.console.pages.pixels import may_see
from twite.console.request_checks import AccessDenied
from twite.console.row_pages import matching, typed_name
from twite.console.table_view import COLUMN, table_view
from twite.domain.destination import Destination, Source
from twite.domain.history import total
from twite.domain.people.users import AuditAction, Role
from twite.domain.stats.traffic import HourlyTraffic
from twite.domain.times import DAY
from twite.formats.webhook_kind import IncomingWebhook
from twite.gateway.identity.source_keys import (
    IN_SETTINGS,
    AcceptedKey,
    SourceKeyStore,
    accepted_keys,
)
from twite.gateway.ports.queries import JoinsQuery, Queries
from twite.gateway.ports.state import StateReader
from twite.gateway.x_account.snippets import Snippet, SnippetCall, snippets

SOURCES: Final = "/console/sources"
_ONE: Final = f"{SOURCES}/{{source}}"
_ADMIN: Final = Role.ADMIN
_JOINED_SINCE: Final = 7 * DAY


class ShownSource(CountedRow, frozen=True, kw_only=True):
    """A source with its counts."""

    source: Source

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def pixels(self) -> Sequence[str]:
        return sorted(self.source.pixels)


class Gained(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversions of a source waited, and how many gained identifiers."""

    waited: int
    gained: int


_ORDERS: Final[Mapping[str, Callable[[ShownSource], Any]]] = {
    "source": lambda shown: shown.source.name,
    "conversions": lambda shown: shown.counts.conversions,
    "held": lambda shown: shown.counts.held,
    "duplicate-copies": lambda shown: shown.counts.duplicate,
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SourcesPage:
    """The pages of sources. Users see a source if they see all its pixels.

    Without a `key_store`, keys are only in the settings. `take_up_keys` makes the gateway use
    changed keys.
    """

    sources: Sequence[Source]
    destinations: Mapping[str, Destination]
    webhooks: Sequence[IncomingWebhook[Any]]
    queries: Queries
    state: StateReader
    key_store: SourceKeyStore | None
    take_up_keys: Callable[[], Awaitable[None]]
    reauthentication: Reauthentication
    url: str

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Sources", NavigationGroup.SET_UP)
        return (
            PageRoute("GET", SOURCES, self._list, location=place),
            PageRoute("GET", _ONE, self._one),
            PageRoute("POST", f"{_ONE}/keys", self._create_key, role=_ADMIN),
            PageRoute("POST", f"{_ONE}/keys/{{id}}/revoke", self._revoke_key, role=_ADMIN),
        )

    async def _list(self, request: PageRequest) -> Response:
        typed = typed_name(request)
        view = table_view(
            request,
            filters=(("q", "Name", typed), (COLUMN, "Columns", "")),
            sorts=tuple(_ORDERS),
            sort="source",
        )
        sources = [source for source in self.sources if may_see(request.viewer, source)]
        return request.page(
            "sources/sources.html",
            title="Sources",
            sources=view.sorted(matching(await self._shown(sources), typed), _ORDERS),
            view=view,
            typed_name=typed,
        )

    async def _one(self, request: PageRequest) -> Response:
        source = known_source(request, self.sources)
        shown, tests = await self._shown([source, source.in_test()])
        return request.page(
            "sources/source.html",
            title=source.name,
            shown_source=shown,
            tests=tests,
            is_tested=source.at(request.now) is not source,
            source=source,
            last_seen=await self._last_seen(source),
            keys=await self._keys(source),
            can_create=self.key_store is not None,
            in_settings=IN_SETTINGS,
            webhooks=[webhook for webhook in self.webhooks if webhook.source == source.name],
            gained=await self._gained(source, request.now) if source.wait else None,
            snippets=self._snippets(source),
        )

    async def _create_key(self, request: PageRequest) -> Response:
        source = known_source(request, self.sources)
        path = f"{SOURCES}/{source.name}"
        if self.key_store is None:
            message = "Keys are stored encrypted, which needs server.secret_key in twite.toml."
            return request.back_to(path, message=message, bad=True)
        if not await self.reauthentication.knows(request):
            return request.back_to(path, message=NOT_CONFIRMED, bad=True)
        audit_event = request.audit_event(AuditAction.SOURCE_KEY_ADD, source.name)
        key = await self.key_store.create(source.name, audit_event=audit_event)
        await self.take_up_keys()
        return request.page(
            "sources/source_key.html", title="The new key", source=source, text=key.reveal()
        )

    async def _revoke_key(self, request: PageRequest) -> Response:
        source, id_ = known_source(request, self.sources), request.part("id")
        path = f"{SOURCES}/{source.name}"
        if self.key_store is None:
            message = "Remove the key from twite.toml, and run twite reload."
            return request.back_to(path, message=message, bad=True)
        if not await self.reauthentication.knows(request):
            return request.back_to(path, message=NOT_CONFIRMED, bad=True)
        audit_event = request.audit_event(AuditAction.SOURCE_KEY_REVOKE, source.name, id_[:20])
        if not await self.key_store.revoke(source, id_, audit_event=audit_event):
            message = "The source has no such key. Nothing was changed."
            return request.back_to(path, message=message, bad=True)
        await self.take_up_keys()
        return request.back_to(path, message="The key was revoked. Requests with it get a 401.")

    async def _shown(self, sources: Sequence[Source]) -> list[ShownSource]:
        accounts = await self.queries.balance()
        return [
            ShownSource(
                source=source,
                in_source=source.name,
                counts=total(account for account in accounts if account.source == source.name),
            )
            for source in sources
        ]

    async def _last_seen(self, source: Source) -> int | None:
        """Return when the last conversion of the last two weeks arrived, to the minute."""
        hours = await self.state.load(HourlyTraffic, prefix=source.name)
        return max((hour.last_at for hour in hours if hour.source == source.name), default=None)

    async def _keys(self, source: Source) -> list[AcceptedKey]:
        stored_keys = {} if self.key_store is None else await self.key_store.all()
        return await accepted_keys(source, stored_keys, self.state)

    async def _gained(self, source: Source, now: int) -> Gained:
        counts = [
            count
            for count in await self.queries.answer(JoinsQuery(since=now - _JOINED_SINCE))
            if count.source == source.name
        ]
        return Gained(
            waited=sum(count.conversions for count in counts),
            gained=sum(count.conversions for count in counts if count.identifiers),
        )

    def _snippets(self, source: Source) -> tuple[Snippet, ...]:
        """Return code for the first event of the source's pixel."""
        events = self.destinations[source.pixel].events if source.pixel in self.destinations else {}
        for name, event in events.items():
            call = SnippetCall(name=name, event=event, pixel=source.pixel, url=self.url)
            return snippets(call, server_only=not source.origins)
        return ()


def known_source(request: PageRequest, sources: Sequence[Source]) -> Source:
    """Return the source in the path. One that the user may not see counts as unknown."""
    name = request.part("source")
    for source in sources:
        if source.name == name and may_see(request.viewer, source):
            return source
    raise AccessDenied(
        404, "Source not found", "The source is not configured, or you may not see it."
    )
