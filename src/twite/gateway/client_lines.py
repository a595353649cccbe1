"""What clients write into the log: of a run so many lines, and of a client so many in a minute.

Whoever likes can send a request to a client. None of them is to decide how much is written; nor is
what one of them says of a person, or shows as a key, to stand in a line.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from twite.domain.secret import Secret
from twite.domain.times import MINUTE
from twite.gateway.masks.names import Kind, kind_of
from twite.gateway.notices import ClientSaid, Observer
from twite.gateway.ports import Clock
from twite.gateway.tags.lines import Line, Lines
from twite.gateway.tags.mask import Mask, texts_in
from twite.intake.clicks import cookies_of
from twite.sgtm.effects import Log, RunContainer
from twite.sgtm.sandbox import Incoming, Turn

MOST_A_MINUTE: Final = 100  # lines of one client
_LONGEST_BODY: Final = 1024 * 1024  # of a longer one nobody looks for persons: nothing is shown
_TELLING: Final = frozenset(
    {Kind.PERSONAL, Kind.PERSON, Kind.TOKEN, Kind.CLICK, Kind.SECRET, Kind.ADDRESS}
)


class ClientLines:
    """The lines of all clients."""

    def __init__(self, *, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._paces: dict[str, _Pace] = {}

    def of(self, client: str, request: Incoming, secrets: Iterable[Secret]) -> "RunLines":
        """Return what listens to one run of a client."""
        pace = self._paces.get(client)
        if pace is None:
            pace = self._paces[client] = _Pace(client, self._observer, self._clock)
        return RunLines(pace, request, secrets)


class RunLines:
    """Listens to the turns of one run."""

    def __init__(self, pace: "_Pace", request: Incoming, secrets: Iterable[Secret]) -> None:
        self._request = request
        self._secrets = secrets
        self._events: list[object] = []
        self._lines = Lines(self._mask, pace.tell, room=pace.has_room)

    def hear(self, turn: Turn) -> None:
        """Write down what a turn logged. A missing permission is not told here."""
        self._events += [one.event for one in turn.effects if isinstance(one, RunContainer)]
        for effect in turn.effects:
            if isinstance(effect, Log) and effect.denied is None:
                self._lines.write(effect.text, own=effect.own)

    def _mask(self) -> Mask:
        secrets = [one.reveal() for one in self._secrets]
        body = self._request.body or ""
        if len(body) > _LONGEST_BODY:
            return Mask(secrets, {}, blind=True)
        said: list[object] = [*self._events, *_said_in(self._request), _read(body)]
        return Mask(secrets, {}, persons=_telling(said))


class _Pace:
    """How much one client may still write, and how much it was not let."""

    def __init__(self, client: str, observer: Observer, clock: Clock) -> None:
        self._client = client
        self._observer = observer
        self._clock = clock
        self._began = clock.elapsed()
        self._told = 0
        self._left = 0

    def has_room(self) -> bool:
        """Take room for a line, if there is any."""
        now = self._clock.elapsed()
        if now - self._began >= MINUTE:
            if self._left:
                self.tell(Line(text=f"{self._left} lines were left out", own=True))
            self._began, self._told, self._left = now, 0, 0
        self._told += 1
        if self._told <= MOST_A_MINUTE:
            return True
        if not self._left:
            self.tell(Line(text="further lines of this minute are left out", own=True))
        self._left += 1
        return False

    def tell(self, line: Line) -> None:
        """Write a line."""
        self._observer.see(ClientSaid(client=self._client, text=line.text, own=line.own))


def _said_in(request: Incoming) -> Iterator[Mapping[str, object]]:
    """Yield what a request says beside its body, by name."""
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
    """Return a form or a query by name; lines of it are read one by one, as of a GA4 hit."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl("&".join(text.splitlines()), keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def _telling(said: Iterable[object]) -> Iterator[str]:
    """Yield the texts that stand under names of persons, of what tells them apart, and of keys."""
    waiting = list(said)
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, Mapping):
            for name, value in one.items():
                if kind_of(str(name)) in _TELLING:
                    yield from texts_in(value)
                else:
                    waiting.append(value)
