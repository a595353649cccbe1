"""What a template says, without what it was told in confidence."""

from collections.abc import Iterable, Mapping
from typing import Final

from twite.gateway.masks.texts import HIDDEN
from twite.gateway.masks.trees import masked_words

_SHORTEST: Final = 4  # what is shorter stands in any text
_LONGEST: Final = 1_000  # what an event says at more length is looked for in pieces
_MOST: Final = 5_000
_LOOKED_AT: Final = 16 * 1024  # characters of a text: no line holds as many
_MASKED: Final = "***"
_PERSONS: Final = ("user_data", "email", "phone", "email_address", "phone_number")


class Mask:
    """Takes out secrets, and the persons of one event; `persons` are more of them.

    A `blind` one takes out everything.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        event: Mapping[str, object],
        *,
        persons: Iterable[str] = (),
        blind: bool = False,
    ) -> None:
        named = [text for name in _PERSONS for text in texts_in(event.get(name))]
        pieces = (piece for text in (*named, *persons) if text for piece in _pieces(text))
        hidden = {one for one in (*secrets, *pieces) if len(one) >= _SHORTEST}
        # Whom it names would take too long to find.
        self._is_blind = blind or len(hidden) > _MOST
        # A long one may hold a short one.
        self._hidden = sorted(hidden, key=len)[::-1][:_MOST]

    def over(self, text: str, *, most: int) -> str:
        """Return the text masked, on one line and cut short."""
        return _line(masked_words(self._without_hidden(text)), most)

    def own(self, sentence: str, *, most: int) -> str:
        """Return a sentence of our own, whose words mean nothing else than they say.

        `SetCookie: …` is no header in it; what else is hidden is not in it either.
        """
        return _line(self._without_hidden(sentence), most)

    def _without_hidden(self, text: str) -> str:
        if self._is_blind:
            return HIDDEN
        longest = len(self._hidden[0]) if self._hidden else 0
        head = text[: _LOOKED_AT + longest]
        is_cut = len(head) < len(text)
        for one in self._hidden:
            head = head.replace(one, _MASKED)
        # What stands at the cut may be a part of one.
        return head[: len(head) - longest] if is_cut else head


def texts_in(value: object) -> Iterable[str]:
    """Yield all texts that a value holds."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _pieces(text: str) -> Iterable[str]:
    """Yield a text in pieces of about one length, so that none is too short to be found."""
    size = -(-len(text) // -(-len(text) // _LONGEST))
    return (text[at : at + size] for at in range(0, len(text), size))


def _line(text: str, most: int) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:most]
