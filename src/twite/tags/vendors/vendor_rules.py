"""The vendors whose conversion APIs are known, and their judgement of a request.

A judge returns a list of problems, which is empty if the vendor would accept and match the request.
Judges share no code with templates or with Twite: see `social_judges` and `other_judges`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from twite.tags.vendors.other_judges import judge_klaviyo, judge_microsoft, judge_openai
from twite.tags.vendors.social_judges import (
    judge_linkedin,
    judge_meta,
    judge_pinterest,
    judge_reddit,
    judge_snapchat,
    judge_stape,
    judge_tiktok,
    judge_x,
)
from twite.tags.vendors.vendor_checks import KnownPerson, VendorRequest

_X_ANSWER: Final = {"request": {}, "data": {"conversions_processed": 1, "debug_id": "stub"}}


@dataclass(frozen=True)
class VendorRules:
    """One vendor: its hosts, the path of its API, its judge, and its response to a good request.

    If there are no hosts, the path identifies the vendor. With `only_path`, requests to other paths
    of the hosts are not judged.
    """

    name: str
    hosts: frozenset[str]
    path: re.Pattern[str]
    judge: Callable[[VendorRequest, KnownPerson], Iterator[str]]
    only_path: bool = False
    status: int = 200
    answer: dict[str, Any] = field(default_factory=dict)


def vendor_of(request: VendorRequest) -> VendorRules | None:
    for rules in VENDORS:
        by_path = rules.only_path or not rules.hosts
        if (not rules.hosts or request.host in rules.hosts) and (
            not by_path or rules.path.fullmatch(request.path)
        ):
            return rules
    return None


def problems_of(request: VendorRequest, person: KnownPerson) -> list[str]:
    """Return what is wrong with a request; requests to unknown hosts are not judged."""
    rules = vendor_of(request)
    if rules is None:
        return []
    if request.method != "POST":
        return [f"the method is {request.method}, not POST"]
    if not rules.path.fullmatch(request.path):
        return [f"{rules.name} has no path {request.path}"]
    if not isinstance(request.body, dict):
        return ["the body is not a JSON object"]
    return list(rules.judge(request, person))


VENDORS: Final = (
    VendorRules(
        name="X",
        hosts=frozenset({"ads-api.x.com", "ads-api.twitter.com"}),
        path=re.compile(r"/\d+/measurement/conversions/[0-9a-z]+"),
        judge=judge_x,
        answer=_X_ANSWER,
    ),
    VendorRules(
        name="X, through Stape's auth proxy",
        hosts=frozenset(),  # any domain: the tag reads the domain from headers
        path=re.compile(r"/stape-api/[^/]*/v1/twitter/auth-proxy"),
        judge=judge_stape,
        answer=_X_ANSWER,
    ),
    VendorRules(
        name="Meta",
        hosts=frozenset({"graph.facebook.com"}),
        path=re.compile(r"/v\d+\.\d+/\d+/events"),
        judge=judge_meta,
        answer={"events_received": 1, "messages": [], "fbtrace_id": "stub"},
    ),
    VendorRules(
        name="TikTok",
        hosts=frozenset({"business-api.tiktok.com"}),
        path=re.compile(r"/open_api/v1\.3/event/track/"),
        judge=judge_tiktok,
        answer={"code": 0, "message": "OK", "request_id": "stub", "data": {}},
    ),
    VendorRules(
        name="Pinterest",
        hosts=frozenset({"api.pinterest.com"}),
        path=re.compile(r"/v5/ad_accounts/\d+/events"),
        judge=judge_pinterest,
        answer={
            "num_events_received": 1,
            "num_events_processed": 1,
            "events": [{"status": "processed"}],
        },
    ),
    VendorRules(
        name="Snapchat",
        hosts=frozenset({"tr.snapchat.com"}),
        path=re.compile(r"/v3/[0-9a-zA-Z-]+/events(/validate)?"),
        judge=judge_snapchat,
        answer={"status": "OK", "reason": "All events processed."},
    ),
    VendorRules(
        name="LinkedIn",
        hosts=frozenset({"api.linkedin.com"}),
        path=re.compile(r"/rest/conversionEvents"),
        judge=judge_linkedin,
        status=201,
    ),
    VendorRules(
        name="Reddit",
        hosts=frozenset({"ads-api.reddit.com"}),
        path=re.compile(r"/api/v3/pixels/[^/]+/conversion_events"),
        judge=judge_reddit,
    ),
    VendorRules(
        name="Microsoft",
        hosts=frozenset({"capi.uet.microsoft.com"}),
        path=re.compile(r"/v\d+/[^/]+/events"),
        judge=judge_microsoft,
    ),
    VendorRules(
        name="OpenAI",
        hosts=frozenset({"bzr.openai.com"}),
        path=re.compile(r"/v\d+/events"),
        judge=judge_openai,
    ),
    VendorRules(
        name="Klaviyo",
        hosts=frozenset({"a.klaviyo.com"}),
        path=re.compile(r"/api/events/?"),
        judge=judge_klaviyo,
        only_path=True,  # tags also update profiles and lists, and look them up
        status=202,
    ),
)
