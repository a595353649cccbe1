"""X's web event tags (the events of its Events Manager): requests and responses.

POST and PUT carry their parameters in the query string. [doc WEB]

A tag has two ids: `id` and `website_tag_id`. X does not say which of them a conversion's `event_id`
is; `id` is used here, because it identifies the tag in every call. [guess]
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from twite.domain.plural import plural
from twite.x import spec
from twite.x.inquiry import Question, decoded

MOST_LISTED: Final = 1_000  # per response [doc WEB]
UNVERIFIED: Final = "UNVERIFIED"  # created, but X has received no conversion for it yet
TRACKING: Final = "TRACKING"
# X creates events with these names at their first conversion, and does not list them. [doc GTM]
CREATED_BY_X: Final = "gtm_"
# X's Events Manager shows two types under other names. [doc WEB]
SHOWN_AS: Final = {"SIGN_UP": "Lead", "SITE_VISIT": "Page view"}


class EventTag(msgspec.Struct, frozen=True, kw_only=True):
    """An event tag from X. Windows are in days; `last_tracked_at` is X's text."""

    id: str
    name: str = ""
    type: str = ""
    click_window: int | None = None
    view_through_window: int | None = None
    retargeting_enabled: bool | None = None
    status: str = ""
    last_tracked_at: str | None = None
    website_tag_id: str | None = None
    deleted: bool = False


class EventTagChange(msgspec.Struct, frozen=True, kw_only=True):
    """The new values of a tag; None leaves a value as it is."""

    name: str | None = None
    type: str | None = None
    click_window: int | None = None
    view_through_window: int | None = None
    retargeting_enabled: bool | None = None


class EventTagPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tags, with the cursor of the next one."""

    data: tuple[EventTag, ...]
    next_cursor: str | None = None


class EventTagQuestions(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    account: str
    page: int = MOST_LISTED

    def listing(self, *, with_deleted: bool = False, cursor: str | None = None) -> Question:
        """Build the request for a page of tags, oldest first."""
        wanted = {"count": str(self.page), "sort_by": "created_at-asc"}
        if with_deleted:
            wanted["with_deleted"] = "true"
        if cursor is not None:
            wanted["cursor"] = cursor
        return Question(method="GET", path=f"{self._path}?{_query(wanted)}")

    def creation(self, change: EventTagChange) -> Question:
        """Build the request that creates a tag. X requires all five parameters."""
        return Question(method="POST", path=f"{self._path}?{_query(_written(change))}")

    def alteration(self, tag: str, change: EventTagChange) -> Question:
        return Question(method="PUT", path=f"{self._one(tag)}?{_query(_written(change))}")

    def deletion(self, tag: str) -> Question:
        """Build the request that deletes a tag. X does not remove it, but marks it as deleted."""
        return Question(method="DELETE", path=self._one(tag))

    @property
    def _path(self) -> str:
        return f"/{self.version}/accounts/{_step(self.account)}/web_event_tags"

    def _one(self, tag: str) -> str:
        return f"{self._path}/{_step(tag)}"


def faults(change: EventTagChange, *, tag: EventTag | None = None) -> Iterator[str]:
    """Return the reasons why X would refuse a change.

    `tag` is the tag to change, None for a new one.
    """
    if tag is None:
        for name in EventTagChange.__struct_fields__:
            if getattr(change, name) is None:
                yield f"{name} is missing: X requires all five for a new event"
    if change.name is not None and not change.name.strip():
        yield "name is empty"
    if change.type is not None and change.type not in spec.EVENT_TAG_TYPES:
        yield (f"{change.type!r} is not one of X's event types: {', '.join(spec.EVENT_TAG_TYPES)}")
    click = change.click_window
    view = change.view_through_window
    if click is not None and click not in spec.CLICK_WINDOWS:
        yield f"a click window of {plural(click, 'day')}: X accepts {_either(spec.CLICK_WINDOWS)}"
    if view is not None and view not in spec.VIEW_WINDOWS:
        yield f"a view window of {plural(view, 'day')}: X accepts {_either(spec.VIEW_WINDOWS)}"
    if tag is not None:
        click = tag.click_window if click is None else click
        view = tag.view_through_window if view is None else view
    if click is not None and view is not None and view > click:
        yield (
            f"a view window of {plural(view, 'day')} is longer than the click window of "
            f"{plural(click, 'day')}"
        )


def bare(event: str, *, pixel: str | None = None) -> str:
    """Return the id of an event in base 36, from either form: `o8z6k`, `tw-o8z6j-o8z6k`."""
    prefix, _, rest = event.partition("-")
    owner, _, id_ = rest.partition("-")
    is_long = prefix == "tw" and owner and id_ and (pixel is None or owner == pixel)
    return id_ if is_long else event


def read_page(body: bytes) -> EventTagPage | None:
    return decoded(body, EventTagPage)


def read_tag(body: bytes) -> EventTag | None:
    read = decoded(body, _Single)
    return None if read is None else read.data


class _Single(msgspec.Struct):
    data: EventTag


def _written(change: EventTagChange) -> Mapping[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in msgspec.structs.asdict(change).items()
        if value is not None
    }


def _query(pairs: Mapping[str, str]) -> str:
    # A space is %20 in X's signatures, never a plus. [doc OA]
    return urlencode(pairs, quote_via=quote)


def _step(text: str) -> str:
    return quote(text, safe="")


def _either(days: Sequence[int]) -> str:
    return f"{', '.join(map(str, days[:-1]))} or {days[-1]}"
