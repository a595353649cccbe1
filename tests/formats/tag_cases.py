"""Requests of tags with the resulting conversions: `cases/*.json`, one file for each route.

A case has `says` (its description), the request (`query`, `body` as a text, as lines or as JSON;
`form`), the visitor data of the connection (`visitor`), the source's settings (`events`), and the
result: `conversions` in canonical form, `ignored` as [name, reason], or `error` as
[code, path]. A derived conversion id is written as "derived"; a time of arrival is omitted.
"""

import json
from decimal import Decimal
from pathlib import Path

import msgspec

from twite.consent.verdict import judging
from twite.domain.destination import Destination, PixelToken, Source
from twite.domain.errors import MalformedRequest
from twite.domain.secret import Secret
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.conversions import Tagged, parse_events
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.native import read as native
from twite.formats.page_visit import Visitor

NOW = 1_795_600_000_000
EVENTS = {
    name: f"o8z6{suffix}"
    for name, suffix in {
        "purchase": "a",
        "lead": "b",
        "add_to_cart": "c",
        "checkout": "d",
        "view_item": "e",
        "search": "f",
        "page_view": "g",
        "sign_up": "h",
    }.items()
}
DESTINATIONS = {
    "o8z6j": Destination(
        pixel="o8z6j", credentials=PixelToken(token=Secret("token")), events=EVENTS
    )
}
FOLDER = Path(__file__).parent / "cases"


def a_shop(events=None):
    return Source(
        name="shop",
        key=None,
        pixel="o8z6j",
        pixels=frozenset({"o8z6j"}),
        region="GB",
        events=events or {},
    )


def cases():
    """Yield (endpoint, case) for every case of every file."""
    for file in sorted(FOLDER.glob("*.json")):
        for case in json.loads(file.read_text()):
            yield file.stem.partition("-")[0], case


def tagged(endpoint, case):
    """Read the request of a case with its route's decoder."""
    query, body = case.get("query", ""), _bytes(case.get("body", ""))
    if endpoint == "ga4":
        return ga4.read(query, body)
    if endpoint == "measurement_protocol":
        return measurement_protocol.read(body, measurement=case.get("measurement", ""))
    if endpoint == "data_tag":
        return data_tag.read(query, body, form=case.get("form", False))
    return Tagged(events=tuple(case["body"]), repeated=())


def outcome(endpoint, case):
    """Return the result of a case in the form that the case uses."""
    try:
        read = tagged(endpoint, case)
    except MalformedRequest as wrong:
        return {"error": [wrong.code, wrong.path]}
    found = parse_events(
        read.events,
        source=a_shop(case.get("events")),
        destinations=DESTINATIONS,
        visitor=_visitor(case.get("visitor", {})),
        repeated=read.repeated,
    )
    return _result_of(found, a_shop(case.get("events")))


def read_natively(found, source):
    return native.read_parsed(
        found,
        source=source,
        destinations=DESTINATIONS,
        now=NOW,
        salt=b"salt",
        judge=judging(policy=source.consent, now=NOW),
    )


def _visitor(said):
    limit = said.get("value_limit")
    rest = {name: value for name, value in said.items() if name != "value_limit"}
    return Visitor(now=NOW, value_limit=None if limit is None else Decimal(limit), **rest)


def _result_of(found, source):
    said = {}
    results = read_natively(found, source).results
    if results:
        said["conversions"] = [
            _canonical(result, given)
            for result, given in zip(results, found.conversions, strict=True)
        ]
    if found.ignored:
        said["ignored"] = [[tally.name, tally.reason] for tally in found.ignored]
    return said


def _canonical(result, given):
    if result.conversion is None:
        return {"refused": [[fault.path, fault.code] for fault in result.faults]}
    canonical = json.loads(msgspec.json.encode(result.conversion))
    del canonical["pixel"]
    if canonical["time"] == NOW:
        del canonical["time"]
    if given.conversion_id is None:
        canonical["conversion_id"] = "derived"
    if result.suppressed is not None:
        canonical["suppressed"] = result.suppressed
    return canonical


def _bytes(body):
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, list) and all(isinstance(line, str) for line in body):
        return "\n".join(body).encode()
    return json.dumps(body).encode()
