"""Event tags: manage X's events of each pixel, map names to them, and make code snippets.

Requests to X use the pixel's OAuth credentials, from the settings or the credential store.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from twite.domain.destination import Destination, OAuthKeys, Source
from twite.domain.errors import EventRefused, SettingsError
from twite.domain.people.users import AuditAction, AuditEvent
from twite.gateway.ports.machine import Clock
from twite.gateway.x_account.inquiries import XInquiries
from twite.gateway.x_account.snippets import Snippet, SnippetCall, snippets
from twite.x.event_tags import (
    CREATED_BY_X,
    MOST_LISTED,
    EventTag,
    EventTagChange,
    EventTagQuestions,
    bare,
    faults,
    read_page,
    read_tag,
)

# A longer list means that the pages repeat: X allows an account far fewer events.
_MOST_PAGES: Final = 100


class AdsAccount:
    """X's events of one ads account, as visible to one user."""

    def __init__(
        self, *, inquiries: XInquiries, keys: OAuthKeys, account: str, page: int = MOST_LISTED
    ) -> None:
        """`page` is the number of events per request."""
        self._ask = inquiries
        self._keys = keys
        self.account = account
        self._shelf = EventTagQuestions(
            version=inquiries.address.version, account=account, page=page
        )

    async def events(self, *, with_deleted: bool = False) -> list[EventTag]:
        found: dict[str, EventTag] = {}
        cursor = None
        for _ in range(_MOST_PAGES):
            question = self._shelf.listing(with_deleted=with_deleted, cursor=cursor)
            page = await self._ask.ask_as(self._keys, question, read_page, about=self._named)
            found |= {tag.id: tag for tag in page.data}
            if not page.next_cursor or page.next_cursor == cursor:
                break
            cursor = page.next_cursor
        return list(found.values())

    async def event_tag(self, event: str) -> EventTag | None:
        """Return an event by either of its ids; None if the account has no such event."""
        known = await self.events(with_deleted=True)
        return next((tag for tag in known if event in {tag.id, tag.website_tag_id}), None)

    async def create(self, change: EventTagChange) -> EventTag:
        """Create an event. The change must have no `faults`."""
        question = self._shelf.creation(change)
        return await self._ask.ask_as(self._keys, question, read_tag, about=self._named)

    async def update(self, event: str, change: EventTagChange) -> EventTag:
        question = self._shelf.alteration(event, change)
        return await self._ask.ask_as(self._keys, question, read_tag, about=self._named)

    async def delete(self, event: str) -> EventTag:
        """Delete an event: from then on, X refuses conversions for it."""
        question = self._shelf.deletion(event)
        return await self._ask.ask_as(self._keys, question, read_tag, about=self._named)

    @property
    def _named(self) -> str:
        return f"ads account {self.account}"


class SettingsDraft(Protocol):
    """A draft of the settings file: see twite.config.event_mapping.SettingsFileDraft."""

    @property
    def pixel(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def event(self) -> str:
        """X's id of the event."""
        ...

    @property
    def mark(self) -> str:
        """A digest of the file and the change."""
        ...

    @property
    def is_changed(self) -> bool: ...

    def diff(self) -> list[str]:
        """Return the change as `diff -u` shows it, with secrets masked."""
        ...

    def write(self) -> None:
        """Replace the file. Raises SettingsError."""
        ...


Drafts = Callable[[str, str, str], SettingsDraft]
Note = Callable[[AuditEvent], Awaitable[None]]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class EventTagManager:
    """Manages X's events, by pixel.

    Methods that send requests to X also raise RefusedByX and XUnanswering. Methods that change
    events receive `by`, the acting user, and write to the audit log first; they also raise the
    store's errors. `destinations` contain the credentials. `drafts` creates a draft from (pixel,
    name, event id), and `written` reads a pixel's events from the file. `url` is the gateway's URL
    for servers; `note` writes to the audit log.
    """

    inquiries: XInquiries
    destinations: Mapping[str, Destination]
    sources: Sequence[Source]
    url: str
    drafts: Drafts
    written: Callable[[str], Mapping[str, object]]
    note: Note
    clock: Clock

    async def events(self, pixel: str, *, with_deleted: bool = False) -> list[EventTag]:
        """Return all events of the pixel's account. Raises SettingsError."""
        return await self._account(pixel).events(with_deleted=with_deleted)

    def names(self, pixel: str, tag: EventTag) -> tuple[str, ...]:
        """Return the names that the settings give to an event, under either of its ids."""
        ids = {tag.id, tag.website_tag_id}
        return tuple(name for name, id_ in self._known(pixel).events.items() if id_ in ids)

    def waiting_names(self, pixel: str, tag: EventTag) -> tuple[str, ...]:
        """Return the names that the settings file gives to an event, and that are not in use."""
        ids, used = {tag.id, tag.website_tag_id}, self._known(pixel).events
        written = self.written(pixel).items()
        return tuple(name for name, id_ in written if id_ in ids and used.get(name) != id_)

    def missing(self, pixel: str, tags: Iterable[EventTag]) -> Mapping[str, str]:
        """Return the id by name of events in the settings that are not among the account's tags.

        X refuses their conversions.
        """
        live = [tag for tag in tags if not tag.deleted]
        ids = {id_ for tag in live for id_ in (tag.id, tag.website_tag_id)}
        return {
            name: id_
            for name, id_ in self._known(pixel).events.items()
            if id_ not in ids and not id_.startswith(CREATED_BY_X)
        }

    async def create(self, pixel: str, change: EventTagChange, *, by: str) -> EventTag:
        """Create an event. Raises SettingsError; EventRefused if X would refuse it."""
        _refuse(faults(change))
        account = self._account(pixel)
        await self._noted(AuditAction.EVENT_CREATE, pixel, _in_words(change), by=by)
        return await account.create(change)

    async def update(self, pixel: str, event: str, change: EventTagChange, *, by: str) -> EventTag:
        """Change the event with a name in the settings or an id. Raises the errors of create."""
        tag = await self.event_tag(pixel, event)
        _refuse(faults(change, tag=tag))
        await self._noted(AuditAction.EVENT_UPDATE, f"{pixel} {tag.id}", _in_words(change), by=by)
        return await self._account(pixel).update(tag.id, change)

    async def delete(self, pixel: str, event: str, *, by: str) -> EventTag:
        """Delete an event: from then on, X refuses conversions for it. Raises SettingsError."""
        tag = await self.event_tag(pixel, event)
        await self._noted(AuditAction.EVENT_DELETE, f"{pixel} {tag.id}", tag.name, by=by)
        return await self._account(pixel).delete(tag.id)

    async def event_tag(self, pixel: str, event: str) -> EventTag:
        """Return an event. Raises SettingsError if it does not exist or was deleted."""
        id_ = bare(self._known(pixel).events.get(event, event), pixel=pixel)
        tag = await self._account(pixel).event_tag(id_)
        if tag is None or tag.deleted:
            why = "was deleted" if tag is not None else "does not exist in the ads account"
            raise SettingsError(
                event, f"the event {id_} {why}. Run twite events list to see the events"
            )
        return tag

    def draft(self, pixel: str, name: str, event: str) -> SettingsDraft:
        """Return a draft of the settings that maps a name to an event. Raises SettingsError."""
        return self.drafts(self._known(pixel).pixel, name, event)

    async def write(self, draft: SettingsDraft, *, by: str) -> None:
        await self._noted(AuditAction.EVENT_MAP, f"{draft.pixel} {draft.event}", draft.name, by=by)
        draft.write()

    def snippets(self, pixel: str, name: str, *, server_only: bool = False) -> tuple[Snippet, ...]:
        """Return code snippets for an event, by its name in the settings. Raises SettingsError."""
        known = self._known(pixel)
        if name not in known.events:
            raise SettingsError(
                name,
                f"is not an event of pixel {pixel} in the settings. Its events: "
                f"{', '.join(known.events)}",
            )
        feeds = (source for source in self.sources if pixel in source.pixels and source.keys)
        first = next(feeds, None)
        called = SnippetCall(
            name=name,
            event=known.events[name],
            pixel=pixel,
            url=self.url,
            names_pixel=first is not None and first.pixel != pixel,
        )
        return snippets(called, server_only=server_only)

    async def _noted(self, what: str, subject: str, detail: str, *, by: str) -> None:
        audit_event = AuditEvent(
            at=self.clock.now(), who=by, what=what, subject=subject, detail=detail
        )
        await self.note(audit_event)

    def _account(self, pixel: str) -> AdsAccount:
        return account_of(self.inquiries, self._known(pixel))

    def _known(self, pixel: str) -> Destination:
        found = self.destinations.get(pixel)
        if found is None:
            raise SettingsError("pixel", f"there is no pixel {pixel!r}")
        return found


def account_of(inquiries: XInquiries, destination: Destination) -> AdsAccount:
    """Return the ads account of a pixel.

    Raises SettingsError if the pixel has no account or no OAuth credentials.
    """
    pixel = destination.pixel
    keys = oauth_keys(destination)
    if keys is None:
        raise SettingsError(
            f"the auth of pixel {pixel}",
            "OAuth 1.0a is missing, which X requires to manage events. Sign in with "
            f"twite login --pixel {pixel}, or use X's Events Manager",
        )
    if destination.account is None:
        raise SettingsError(
            f"the account of pixel {pixel}",
            "is missing: X's events belong to an ads account. Set account = "
            '"18ce54d4x5t" with the account\'s id; twite check lists the accounts',
        )
    return AdsAccount(inquiries=inquiries, keys=keys, account=destination.account)


def oauth_keys(destination: Destination) -> OAuthKeys | None:
    """Return the OAuth keys for X's Ads API, which does not accept a pixel token."""
    if isinstance(destination.credentials, OAuthKeys):
        return destination.credentials
    return destination.fallback


def _in_words(change: EventTagChange) -> str:
    named = msgspec.structs.asdict(change).items()
    return ", ".join(f"{key}: {value}" for key, value in named if value is not None)


def _refuse(found: Iterator[str]) -> None:
    wrong = "; ".join(found)
    if wrong:
        raise EventRefused(wrong)
