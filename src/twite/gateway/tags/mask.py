"""What a template says, without what it was told in confidence."""

from collections.abc import Iterable, Mapping
from typing import Final

from twite.gateway.masks.trees import masked_words

_SHORTEST: Final = 4  # what is shorter stands in any text
_PERSONS: Final = ("user_data", "email", "phone", "email_address", "phone_number")


class Mask:
    """Takes out secrets, and the persons of one event."""

    def __init__(self, secrets: Iterable[str], event: Mapping[str, object]) -> None:
        hidden = {*secrets, *(text for name in _PERSONS for text in _texts(event.get(name)))}
        # A long one may hold a short one.
        self._hidden = sorted((one for one in hidden if len(one) >= _SHORTEST), key=len)[::-1]

    def over(self, text: str, *, most: int) -> str:
        """Return the text masked, on one line and cut short."""
        for one in self._hidden:
            text = text.replace(one, "***")
        line = "".join(letter if letter.isprintable() else " " for letter in masked_words(text))
        return line[:most]


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
