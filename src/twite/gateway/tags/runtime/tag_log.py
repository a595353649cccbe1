"""Log lines of one template run: masked, shortened, and limited in number."""

from collections.abc import Callable
from typing import Final

import msgspec

from twite.redaction.mask_line import LineMask

MOST_LINES: Final = 20
LONGEST_LINE: Final = 300


class TagLogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line; `own` where the template did not write it itself."""

    text: str
    own: bool


class TagLog:
    """The lines of one run. `mask` is asked for once, by the first line that is told.

    `room` is asked before each line, whether there is any beyond this run.
    """

    def __init__(
        self,
        mask: Callable[[], LineMask],
        tells: Callable[[TagLogLine], None],
        *,
        room: Callable[[], bool] | None = None,
    ) -> None:
        self._make = mask
        self._room = room
        self._mask: LineMask | None = None
        self._tells = tells
        self._told = 0
        self._once: set[str] = set()

    def write(self, text: str, *, own: bool = False) -> None:
        """Log a line of the template, or of the sandbox (`own`)."""
        if self._has_room():
            self._tells(TagLogLine(text=self._masked.over(text, most=LONGEST_LINE), own=own))

    def say(self, sentence: str) -> None:
        """Log a line of Twite's."""
        if self._has_room():
            self._tells(TagLogLine(text=self._masked.own(sentence, most=LONGEST_LINE), own=True))

    def say_once(self, sentence: str) -> None:
        """Log a line of Twite's, once per run."""
        if sentence not in self._once:
            self._once.add(sentence)
            self.say(sentence)

    def _has_room(self) -> bool:
        self._told += 1
        if self._told > MOST_LINES or (self._room is not None and not self._room()):
            return False
        if self._told == MOST_LINES:
            self._tells(TagLogLine(text="more lines of this run are left out", own=True))
        return self._told < MOST_LINES

    @property
    def _masked(self) -> LineMask:
        if self._mask is None:
            self._mask = self._make()
        return self._mask
