"""The emulated X as a whole: state, and a response for each request. No sockets, no logging.

Clock and randomness are passed to the constructor; everything else is in the requests.
"""

import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from twite_emulator import spec
from twite_emulator.access import ANY_ROLE, Caller, Denied, admit_signed, refuse_account
from twite_emulator.ads import Ads
from twite_emulator.analytics.journal import AnalyticsJournal
from twite_emulator.analytics.routes import Analytics
from twite_emulator.conversions import judge_conversions, judge_unchecked
from twite_emulator.counting import ConversionCounter
from twite_emulator.event_tags import answer_event_tags
from twite_emulator.exchange import (
    XAnswer,
    XRequestReceived,
    XVerdict,
    json_answer,
    no_route,
    wrong_method,
)
from twite_emulator.faults import FaultBoard
from twite_emulator.oauth_flow import OAuthFlow
from twite_emulator.pixel import take_hit
from twite_emulator.state import EmulatedState, Hits, NonceWindow, Windows
from twite_emulator.switches import Switches
from twite_emulator.world import EmulatedAccount, World

# X's real pixel script is not available offline, so this script stands in for it.
_SCRIPT_PATH: Final = "/uwt.js"

_SCRIPT: Final = Path(__file__).with_name("uwt.js").read_bytes()
_HEADERS: Final = (
    ("content-type", "text/javascript; charset=utf-8"),
    ("cache-control", "no-cache"),
)


_LIST: Final = re.compile(r"/(?:11|12)/accounts")
_ONE: Final = re.compile(r"/(?:11|12)/accounts/([^/]+)")
_ACCESS: Final = re.compile(r"/(?:11|12)/accounts/([^/]+)/authenticated_user_access")
CONVERSIONS: Final = re.compile(r"/(?:11|12)/measurement/conversions/([^/]+)")
_ADS: Final = re.compile(r"/(?:11|12)/(?:accounts|stats)(?:/.*)?|/advertiser-api-async-.*")
_PIXEL_HITS: Final = ("/1/i/adsct", "/i/adsct")
MAX_BODY_BYTES = 64 * 1024 * 1024  # total size of all stored bodies


def answer_accounts(request: XRequestReceived, caller: Caller, world: World) -> XAnswer | None:
    """Return None if the request is not about accounts."""
    if request.method != "GET" or caller.user is None:
        return None
    roles = caller.user.roles
    if _LIST.fullmatch(request.path):
        mine = [_shown(world.accounts[id_]) for id_ in roles if id_ in world.accounts]
        return json_answer(200, {"request": {"params": {}}, "next_cursor": None, "data": mine})
    match = _ONE.fullmatch(request.path) or _ACCESS.fullmatch(request.path)
    if match is None:
        return None
    account_id = match[1]
    denied = refuse_account(caller.user, account_id, roles=ANY_ROLE)
    if denied is not None:
        return denied
    params = {"params": {"account_id": account_id}}
    if _ACCESS.fullmatch(request.path):
        rights = {"user_id": caller.user.id, "permissions": list(roles[account_id])}
        return json_answer(200, {"data": rights, "request": params})
    return json_answer(200, {"data": _shown(world.accounts[account_id]), "request": params})


def _shown(account: EmulatedAccount) -> dict[str, object]:
    return {
        "name": account.name,
        "business_name": None,
        "timezone": account.timezone,
        "timezone_switch_at": None,
        "id": account.id,
        "created_at": "2024-01-01T00:00:00Z",
        "updated_at": "2024-01-01T00:00:00Z",
        "industry_type": None,
        "business_id": None,
        "approval_status": "ACCEPTED",
        "deleted": False,
    }


class Judge:
    """The emulated X. `clock` gives epoch seconds; `world` is added to the default world."""

    def __init__(
        self,
        *,
        switches: Switches,
        clock: Callable[[], float],
        randomness: Random,
        world: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self._first_switches = switches
        self._first_world = world
        self._clock = clock
        self._randomness = randomness
        self.reset()

    def reset(self) -> None:
        """Reset everything to its initial state."""
        self.switches = self._first_switches
        self.world = World()
        self.world.merge(self._first_world)
        self.ads = Ads()
        self.shift = 0.0
        self.faults = FaultBoard()
        self.forget()

    def forget(self) -> None:
        """Delete received conversions, counts and rate limit windows; keep the rest."""
        self.ledger = ConversionCounter()
        self.ads.forget()
        self.analytics = Analytics()
        self.asked = AnalyticsJournal(requests=self.switches.log_requests)
        self.hits = Hits()
        self.windows = Windows()
        self.nonces = NonceWindow()
        self.flow = OAuthFlow(self._randomness)
        self.journal = Journal(requests=self.switches.log_requests, bodies=self.switches.log_bodies)
        self.started_at = self.now()

    def now(self) -> float:
        return self._clock() + self.shift

    def answer(self, request: XRequestReceived, *, skew: float = 0) -> XVerdict:
        """Check a request and return the response.

        `skew` is the clock error in seconds for this request.
        """
        verdict = self._routed(request, self.state(skew))
        answer = verdict.answer.with_headers((spec.CURRENT_VERSION_HEADER, spec.VERSION))
        return msgspec.structs.replace(verdict, answer=answer)

    def state(self, skew: float = 0) -> EmulatedState:
        return EmulatedState(
            world=self.world,
            switches=self.switches,
            counter=self.ledger,
            ads=self.ads,
            hits=self.hits,
            windows=self.windows,
            nonces=self.nonces,
            randomness=self._randomness,
            started_at=self.started_at,
            at=self.now(),
            signed_at=self.now() + skew,
        )

    def _routed(self, request: XRequestReceived, state: EmulatedState) -> XVerdict:
        match = CONVERSIONS.fullmatch(request.path)
        if match and (self.switches.sandbox or not _is_sandbox(request)):
            if request.method != "POST":
                return XVerdict(answer=wrong_method(request.method))
            judged = judge_conversions if self.switches.checks else judge_unchecked
            return judged(request, match[1], state)
        if _ADS.fullmatch(request.path):
            return self.analytics.answer(request, state) or _ads(request, state)
        if request.path in _PIXEL_HITS:
            return XVerdict(answer=take_hit(request, state))
        if request.path == _SCRIPT_PATH and request.method == "GET":
            return XVerdict(answer=XAnswer(status=200, body=_SCRIPT, headers=_HEADERS))
        return XVerdict(answer=self.flow.answer(request, state) or no_route())


def _ads(request: XRequestReceived, state: EmulatedState) -> XVerdict:
    caller = admit_signed(request, state)
    if isinstance(caller, Denied):
        return XVerdict(answer=caller.answer, auth=caller.auth, why=caller.why)
    answer = answer_accounts(request, caller, state.world)
    answer = answer or answer_event_tags(request, caller, state) or no_route()
    return XVerdict(answer=answer, auth=caller.auth)


def _is_sandbox(request: XRequestReceived) -> bool:
    return request.headers.get("host", "").lower().startswith("ads-api-sandbox.")


class Received(Struct, kw_only=True):
    """One request.

    `judged` is the computed status (None: not checked), `status` the sent one (None: no complete
    response).
    """

    at: float
    method: str
    path: str
    pixel: str | None
    auth: str | None
    judged: int | None
    status: int | None
    fault: str | None = None
    conversions: int | None = None
    why: str | None = None
    body: bytes | None = None


class Journal:
    def __init__(self, *, requests: int, bodies: int) -> None:
        self.entries: deque[Received] = deque(maxlen=requests)
        self.requests = 0
        self.conversions = 0
        self.answers: Counter[str] = Counter()  # by status; "none" for requests without a response
        self._max_bodies = bodies
        self._with_body: deque[Received] = deque()
        self._body_bytes = 0

    def add(self, received: Received) -> None:
        self.count(received.status, received.conversions)
        self.entries.append(received)
        if received.body is None:
            return
        self._with_body.append(received)
        self._body_bytes += len(received.body)
        while self._with_body and (
            len(self._with_body) > self._max_bodies or self._body_bytes > MAX_BODY_BYTES
        ):
            oldest = self._with_body.popleft()
            self._body_bytes -= len(oldest.body or b"")
            oldest.body = None

    def count(self, status: int | None, conversions: int | None) -> None:
        self.requests += 1
        self.conversions += conversions or 0
        self.answers["none" if status is None else str(status)] += 1
