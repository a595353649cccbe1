"""X ads account: list, create, change and delete its events. Raises RefusedByX, XUnanswering."""

from typing import Final

from twite.domain.destination import OAuthKeys
from twite.gateway.x_account.inquiries import XInquiries
from twite.x.event_tags import (
    MOST_LISTED,
    EventTag,
    EventTagChange,
    EventTagPage,
    EventTagShelf,
    read_page,
    read_tag,
)

# A longer list is a paging loop: X allows an account far fewer events.
_MOST_PAGES: Final = 100


class AdsAccount:
    """The events of one account, as one user sees them."""

    def __init__(
        self, *, ask: XInquiries, keys: OAuthKeys, account: str, page: int = MOST_LISTED
    ) -> None:
        """`page` is how many are asked for at once."""
        self._ask = ask
        self._keys = keys
        self.account = account
        self._shelf = EventTagShelf(version=ask.address.version, account=account, page=page)

    async def events(self, *, with_deleted: bool = False) -> list[EventTag]:
        """Return all events, from all pages."""
        found: dict[str, EventTag] = {}
        cursor = None
        for _ in range(_MOST_PAGES):
            page = await self._page(with_deleted=with_deleted, cursor=cursor)
            found |= {tag.id: tag for tag in page.tags}
            if page.cursor is None or page.cursor == cursor:
                break
            cursor = page.cursor
        return list(found.values())

    async def event_tag(self, event: str) -> EventTag | None:
        """Return one by either of its ids; None where the account has none of that id."""
        known = await self.events(with_deleted=True)
        return next((tag for tag in known if event in {tag.id, tag.website_tag_id}), None)

    async def create(self, change: EventTagChange) -> EventTag:
        """Create an event. The change must have no `faults`."""
        question = self._shelf.creation(change)
        return await self._ask.ask_as(self._keys, question, read_tag, about=self._named)

    async def update(self, event: str, change: EventTagChange) -> EventTag:
        """Change an event."""
        question = self._shelf.alteration(event, change)
        return await self._ask.ask_as(self._keys, question, read_tag, about=self._named)

    async def delete(self, event: str) -> EventTag:
        """Delete an event: X accepts no more conversions of it."""
        question = self._shelf.deletion(event)
        return await self._ask.ask_as(self._keys, question, read_tag, about=self._named)

    @property
    def _named(self) -> str:
        return f"ads account {self.account}"

    async def _page(self, *, with_deleted: bool, cursor: str | None) -> EventTagPage:
        question = self._shelf.listing(with_deleted=with_deleted, cursor=cursor)
        return await self._ask.ask_as(self._keys, question, read_page, about=self._named)
