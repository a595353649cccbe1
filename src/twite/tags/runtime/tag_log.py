"""Log lines of template runs: masked, shortened, and limited per run and per minute."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from twite.domain.incoming_request import IncomingRequest
from twite.domain.plural import plural
from twite.domain.secret import Secret
from twite.domain.times import MINUTE
from twite.formats.page_visit import cookies_of
from twite.redaction.vocabulary import FieldContext
from twite.tags.redaction.mask_line import LineMask, telling
from twite.tags.template.effects import LogEffect, RunContainer
from twite.tags.template.sandbox import Turn

MOST_LINES: Final = 20
LONGEST_LINE: Final = 300
STORAGE_FULL: Final = (
    "templateDataStorage is full (1 MiB for each template): nothing was stored. Store less, or "
    "remove items with removeItem or clear"
)
MASKED_EVENT: Final = "runContainer masked a secret of the template's fields in the event as ***"
MOST_A_MINUTE: Final = 100  # lines of one client
# Longer bodies are not searched for personal data, so none of their text is shown.
_LONGEST_BODY: Final = 1024 * 1024


class TagLogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One log line. `own` is whether Twite wrote it instead of the template."""

    text: str
    own: bool


@dataclass(slots=True, eq=False, repr=False)
class TagLog:
    """The log lines of one run.

    `mask` is called once, for the first line. `room` is called before each line, and returns
    whether the limits that apply across runs allow the line.
    """

    mask: Callable[[], LineMask]
    tells: Callable[[TagLogLine], None]
    _: KW_ONLY
    room: Callable[[], bool] | None = None
    _mask: LineMask | None = field(init=False, default=None)
    _reported: int = field(init=False, default=0)
    _once: set[str] = field(init=False, default_factory=set)

    def write(self, text: str, *, own: bool = False) -> None:
        """Log a line of the template, or of the sandbox (`own`)."""
        if self._has_room():
            self.tells(TagLogLine(text=self._masked.over(text, most=LONGEST_LINE), own=own))

    def say(self, sentence: str) -> None:
        if self._has_room():
            self.tells(TagLogLine(text=self._masked.own(sentence, most=LONGEST_LINE), own=True))

    def say_once(self, sentence: str) -> None:
        """Log a line from Twite, once per run."""
        if sentence not in self._once:
            self._once.add(sentence)
            self.say(sentence)

    def _has_room(self) -> bool:
        self._reported += 1
        if self._reported > MOST_LINES or (self.room is not None and not self.room()):
            return False
        if self._reported == MOST_LINES:
            self.tells(TagLogLine(text="further lines of this run are omitted", own=True))
        return self._reported < MOST_LINES

    @property
    def _masked(self) -> LineMask:
        if self._mask is None:
            self._mask = self.mask()
        return self._mask


class ClientLines:
    """The log of all clients or all variables. `tells` receives each line with its owner's name."""

    def __init__(
        self, tells: Callable[[str, TagLogLine], None], *, elapsed: Callable[[], int]
    ) -> None:
        self._tells = tells
        self._elapsed = elapsed
        self._paces: dict[str, _LineBudget] = {}

    def of(
        self,
        whose: str,
        request: IncomingRequest,
        secrets: Iterable[Secret],
        event: Mapping[str, object] | None = None,
    ) -> "RunLines":
        """Return the log for one run of a client, or of a variable for one event."""
        pace = self._paces.get(whose)
        if pace is None:
            pace = self._paces[whose] = _LineBudget(whose, self._tells, self._elapsed)
        return RunLines(pace, request, secrets, () if event is None else (event,))


class RunLines:
    def __init__(
        self,
        budget: "_LineBudget",
        request: IncomingRequest,
        secrets: Iterable[Secret],
        events: Iterable[object],
    ) -> None:
        self._request = request
        self._secrets = secrets
        self._events: list[object] = [*events]
        self._lines = TagLog(self.mask, budget.write, room=budget.has_room)

    def log_turn(self, turn: Turn) -> None:
        """Log the lines that a turn wrote. Missing permissions are reported elsewhere."""
        self._events += [
            effect.event for effect in turn.effects if isinstance(effect, RunContainer)
        ]
        for effect in turn.effects:
            if isinstance(effect, LogEffect) and effect.denied is None:
                self._lines.write(effect.text, own=effect.own)

    def say(self, sentence: str) -> None:
        """Log a line from Twite."""
        self._lines.say(sentence)

    def mask(self) -> LineMask:
        secrets = [secret.reveal() for secret in self._secrets]
        body = self._request.body or ""
        if len(body) > _LONGEST_BODY:
            return LineMask(secrets, {}, blind=True)
        bodies: list[object] = [*_said_in(self._request), _read(body)]
        persons = [*telling(self._events), *telling(bodies, FieldContext.THINGS)]
        return LineMask(secrets, {}, persons=persons)


class _LineBudget:
    """How many lines an owner has logged in the current minute, and how many were dropped."""

    def __init__(
        self, whose: str, tells: Callable[[str, TagLogLine], None], elapsed: Callable[[], int]
    ) -> None:
        self._whose = whose
        self._tells = tells
        self._elapsed = elapsed
        self._began = elapsed()
        self._reported = 0
        self._left = 0

    def has_room(self) -> bool:
        """Count a line; return whether the budget allows it."""
        now = self._elapsed()
        if now - self._began >= MINUTE:
            if self._left:
                self.write(
                    TagLogLine(
                        text=f"{plural(self._left, 'line was', 'lines were')} omitted", own=True
                    )
                )
            self._began, self._reported, self._left = now, 0, 0
        self._reported += 1
        if self._reported <= MOST_A_MINUTE:
            return True
        if not self._left:
            self.write(TagLogLine(text="further lines of this minute are omitted", own=True))
        self._left += 1
        return False

    def write(self, line: TagLogLine) -> None:
        self._tells(self._whose, line)


def _said_in(request: IncomingRequest) -> Iterator[Mapping[str, object]]:
    """Yield a request's headers, cookies and query parameters, each by name."""
    headers = dict(request.headers)
    yield headers
    yield cookies_of(headers.get("cookie", ""))
    yield _form(request.query)


def _read(body: str) -> object:
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _form(body)


def _form(text: str) -> dict[str, list[str]]:
    """Return the parameters of a form or query by name, also if it has several lines (GA4)."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl("&".join(text.splitlines()), keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found
