"""Web event tags, which the Events Manager shows as events. [doc WEB]

The parameters of POST and PUT are in the query; `request.params` echoes them with their types.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Final

import msgspec
from msgspec import Struct

from twite_emulator import spec
from twite_emulator.access import Caller, refuse_account
from twite_emulator.exchange import (
    NOT_ONE_OF,
    TAG_NOT_FOUND,
    WINDOWS_CROSSED,
    Problem,
    XAnswer,
    XRequestReceived,
    json_answer,
    refusal,
    utc,
    wrong_method,
)
from twite_emulator.fields import invalid, missing
from twite_emulator.listing import listing_of
from twite_emulator.state import EmulatedState
from twite_emulator.world import EmulatedEventTag, World

_PATH: Final = re.compile(r"/(?:11|12)/accounts/([^/]+)/web_event_tags(?:/([^/]+))?")
_IDS: Final = "web_event_tag_ids"
_REQUIRED: Final = ("name", "type", "click_window", "view_through_window", "retargeting_enabled")


def written_of(
    pairs: Mapping[str, str], tag: EmulatedEventTag | None
) -> dict[str, object] | list[Problem]:
    """Return the typed parameters of POST or PUT, or all problems.

    For a POST, `tag` is None, and all parameters are required.
    """
    problems = [missing(name) for name in _REQUIRED if tag is None and not pairs.get(name)]
    written: dict[str, object] = {}
    for name in _REQUIRED:
        if pairs.get(name):
            value = _typed(name, pairs[name])
            if isinstance(value, Problem):
                problems.append(value)
            else:
                written[name] = value
    click = written.get("click_window", tag.click_window if tag else None)
    view = written.get("view_through_window", tag.view_through_window if tag else None)
    if isinstance(click, int) and isinstance(view, int) and view > click:
        problems.append(invalid(WINDOWS_CROSSED, "view_through_window", view, click=click))
    return problems or written


def _typed(name: str, text: str) -> object:
    if name == "name":
        return text
    if name == "type":
        return (
            text if text in spec.EVENT_TAG_TYPES else _not_one_of(name, text, spec.EVENT_TAG_TYPES)
        )
    if name == "retargeting_enabled":
        if text in ("true", "false"):
            return text == "true"
        return invalid(spec.WRONG_TYPE, name, text, type="Boolean")
    choices = spec.CLICK_WINDOWS if name == "click_window" else spec.VIEW_WINDOWS
    if text.isdecimal() and int(text) in choices:
        return int(text)
    return _not_one_of(name, text, choices)


def _not_one_of(name: str, text: str, choices: tuple[object, ...]) -> Problem:
    return invalid(NOT_ONE_OF, name, text, choices=", ".join(map(str, choices)))


def answer_event_tags(
    request: XRequestReceived, caller: Caller, state: EmulatedState
) -> XAnswer | None:
    """Return None if the request is not about web event tags."""
    found = _PATH.fullmatch(request.path)
    if found is None:
        return None
    denied = refuse_account(caller.user, found[1])
    if denied is not None:
        return denied
    routes = _EventTagRoutes(state, found[1])
    pairs = dict(request.query_pairs())
    verbs: Mapping[str, Callable[[Mapping[str, str]], XAnswer]]
    if found[2] is None:
        verbs = {"GET": routes.listed, "POST": routes.created}
    else:
        verbs = {
            "GET": partial(routes.read, found[2]),
            "PUT": partial(routes.updated, found[2]),
            "DELETE": partial(routes.deleted, found[2]),
        }
    if request.method in verbs:
        return verbs[request.method](pairs)
    return wrong_method(request.method)


class _EventTagRoutes(Struct, frozen=True):
    """The tags of one account."""

    state: EmulatedState
    account: str

    @property
    def world(self) -> World:
        return self.state.world

    def listed(self, pairs: Mapping[str, str]) -> XAnswer:
        listing = listing_of(pairs, (_IDS,))
        if isinstance(listing, Problem):
            return refusal(400, listing, account_id=self.account)
        tags = [tag for tag in self.world.events.values() if self._is_own(tag)]
        return listing.answer(tags, _IDS, self._shown, self.account)

    def read(self, tag_id: str, pairs: Mapping[str, str]) -> XAnswer:
        tag = self._own(tag_id)
        if tag is None or (tag.deleted and pairs.get("with_deleted") != "true"):
            return self._missed(tag_id)
        return self._single(tag, {"web_event_tag_id": tag_id})

    def created(self, pairs: Mapping[str, str]) -> XAnswer:
        written = written_of(pairs, None)
        if isinstance(written, list):
            return refusal(400, *written, account_id=self.account)
        pixel = next(
            (pixel.id for pixel in self.world.pixels.values() if pixel.account == self.account),
            None,
        )
        if pixel is None:
            return self._missed("")
        tag = EmulatedEventTag(
            id=self.world.fresh_id(),
            pixel=pixel,
            website_tag_id=self.world.fresh_id(),
            created_at=self.state.at,
        )
        tag = msgspec.structs.replace(tag, **written)
        self.world.put_event(tag)
        return self._single(tag, written)

    def updated(self, tag_id: str, pairs: Mapping[str, str]) -> XAnswer:
        tag = self._own(tag_id)
        if tag is None or tag.deleted:
            return self._missed(tag_id)
        written = written_of(pairs, tag)
        if isinstance(written, list):
            return refusal(400, *written, account_id=self.account)
        tag = msgspec.structs.replace(tag, **written)
        self.world.put_event(tag)
        return self._single(tag, {"web_event_tag_id": tag_id, **written})

    def deleted(self, tag_id: str, _: Mapping[str, str]) -> XAnswer:
        tag = self._own(tag_id)
        if tag is None or tag.deleted:
            return self._missed(tag_id)
        tag = msgspec.structs.replace(tag, deleted=True)
        self.world.put_event(tag)
        return self._single(tag, {"web_event_tag_id": tag_id})

    def _own(self, tag_id: str) -> EmulatedEventTag | None:
        tag = self.world.events.get(tag_id)
        return tag if tag and self._is_own(tag) else None

    def _is_own(self, tag: EmulatedEventTag) -> bool:
        return self.world.account_of(tag) == self.account

    def _missed(self, tag_id: str) -> XAnswer:
        message = TAG_NOT_FOUND.format(value=tag_id)
        problem = Problem(spec.WEB_EVENT_TAG_NOT_FOUND, message)
        return refusal(404, problem, account_id=self.account)

    def _single(self, tag: EmulatedEventTag, echo: Mapping[str, object]) -> XAnswer:
        params = {**echo, "account_id": self.account}
        return json_answer(200, {"data": self._shown(tag), "request": {"params": params}})

    def _shown(self, tag: EmulatedEventTag) -> dict[str, object]:
        count = self.state.counter.events.get((tag.pixel, tag.id))
        delay = self.state.switches.tracking_delay
        tracked = count is not None and self.state.at >= count.first_at + delay
        return {
            "name": tag.name,
            "view_through_window": tag.view_through_window,
            "click_window": tag.click_window,
            "embed_code": _embed_code(tag),
            "id": tag.id,
            "retargeting_enabled": tag.retargeting_enabled,
            "last_tracked_at": utc(count.last_at) if count is not None and tracked else None,
            "status": "TRACKING" if tracked else "UNVERIFIED",
            "type": tag.type,
            "website_tag_id": tag.website_tag_id,
            "deleted": tag.deleted,
        }


def _embed_code(tag: EmulatedEventTag) -> str:
    pid = escape(tag.website_tag_id)
    query = f"txn_id={pid}&amp;p_id=Twitter&amp;tw_sale_amount=0&amp;tw_order_quantity=0"
    image = '<img height="1" width="1" style="display:none;" alt="" src="{}?{}" />'
    images = "\n".join(
        image.format(host, query) for host in ("https://analytics.x.com/i/adsct", "//t.co/i/adsct")
    )
    return (
        '<script src="https://static.ads-twitter.com/oct.js" type="text/javascript"></script>\n'
        f"<script type=\"text/javascript\">twttr.conversion.trackPid('{pid}', "
        "{ tw_sale_amount: 0, tw_order_quantity: 0 });</script>\n"
        f"<noscript>\n{images}\n</noscript>"
    )
