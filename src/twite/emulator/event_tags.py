"""Web event tags, which the Events Manager shows as events. [doc WEB]

The parameters of POST and PUT travel in the query; `request.params` echoes them typed.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import Final

import msgspec
from msgspec import Struct

from twite.emulator import words
from twite.emulator.access import Caller, refuse_account
from twite.emulator.counting import ConversionCounter
from twite.emulator.exchange import Problem, XAnswer, XRequestReceived, json_answer, refusal
from twite.emulator.switches import Switches
from twite.emulator.tag_parameters import CURSOR, Listing, listing_of, written_of
from twite.emulator.world import EmulatedEventTag, World
from twite.x import spec

_PATH: Final = re.compile(r"/(?:11|12)/accounts/([^/]+)/web_event_tags(?:/([^/]+))?")


def answer_event_tags(
    request: XRequestReceived,
    caller: Caller,
    *,
    world: World,
    ledger: ConversionCounter,
    switches: Switches,
    at: float,
) -> XAnswer | None:
    """Return None if the request is not about web event tags."""
    found = _PATH.fullmatch(request.path)
    if found is None:
        return None
    denied = refuse_account(caller.user, found[1])
    if denied is not None:
        return denied
    shelf = _Shelf(world=world, ledger=ledger, switches=switches, at=at, account=found[1])
    pairs = dict(request.query_pairs())
    verbs: Mapping[str, Callable[[Mapping[str, str]], XAnswer]]
    if found[2] is None:
        verbs = {"GET": shelf.listed, "POST": shelf.created}
    else:
        verbs = {
            "GET": partial(shelf.read, found[2]),
            "PUT": partial(shelf.updated, found[2]),
            "DELETE": partial(shelf.deleted, found[2]),
        }
    if request.method in verbs:
        return verbs[request.method](pairs)
    message = words.WRONG_METHOD.format(value=request.method)
    return refusal(405, Problem(spec.METHOD_NOT_ALLOWED, message))


class _Shelf(Struct, frozen=True, kw_only=True):
    """The tags of one account at one moment."""

    world: World
    ledger: ConversionCounter
    switches: Switches
    at: float
    account: str

    def listed(self, pairs: Mapping[str, str]) -> XAnswer:
        listing = listing_of(pairs)
        if isinstance(listing, Problem):
            return refusal(400, listing, account_id=self.account)
        found = self._found(listing)
        page = found[listing.offset : listing.offset + listing.count]
        end = listing.offset + len(page)
        document: dict[str, object] = {
            "request": {"params": {**listing.echo, "account_id": self.account}},
            "next_cursor": f"{CURSOR}{end}" if end < len(found) else None,
            "data": [self._shown(tag) for tag in page],
        }
        if listing.with_total_count:
            document["total_count"] = len(found)
        return json_answer(200, document)

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
            created_at=self.at,
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

    def _found(self, listing: Listing) -> list[EmulatedEventTag]:
        tags = [
            tag
            for tag in self.world.events.values()
            if self.world.account_of(tag) == self.account
            and (listing.with_deleted or not tag.deleted)
            and (listing.ids is None or tag.id in listing.ids)
        ]
        return sorted(
            tags, key=lambda tag: (getattr(tag, listing.sort_key), tag.id), reverse=listing.reverse
        )

    def _own(self, tag_id: str) -> EmulatedEventTag | None:
        tag = self.world.events.get(tag_id)
        return tag if tag and self.world.account_of(tag) == self.account else None

    def _missed(self, tag_id: str) -> XAnswer:
        message = words.TAG_NOT_FOUND.format(value=tag_id)
        problem = Problem(spec.WEB_EVENT_TAG_NOT_FOUND, message)
        return refusal(404, problem, account_id=self.account)

    def _single(self, tag: EmulatedEventTag, echo: Mapping[str, object]) -> XAnswer:
        params = {**echo, "account_id": self.account}
        return json_answer(200, {"data": self._shown(tag), "request": {"params": params}})

    def _shown(self, tag: EmulatedEventTag) -> dict[str, object]:
        count = self.ledger.events.get((tag.pixel, tag.id))
        tracked = count is not None and self.at >= count.first_at + self.switches.tracking_delay
        return {
            "name": tag.name,
            "view_through_window": tag.view_through_window,
            "click_window": tag.click_window,
            "embed_code": _embed_code(tag),
            "id": tag.id,
            "retargeting_enabled": tag.retargeting_enabled,
            "last_tracked_at": _iso(count.last_at) if count is not None and tracked else None,
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


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
