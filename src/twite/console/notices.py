"""Messages for the next page of a browser, and what was typed into a refused form."""

from collections import OrderedDict
from typing import Final
from urllib.parse import unquote

import msgspec

from twite.console.page import FormData

_MOST_BROWSERS: Final = 256
_MOST_AT_ONCE: Final = 8


class Notice(msgspec.Struct, frozen=True):
    """A message to show on the next page."""

    text: str
    bad: bool


class TypedForm(msgspec.Struct, frozen=True):
    """A form that was refused. Its fields are shown again, except secrets."""

    path: str = ""
    form: FormData = FormData("")

    def __call__(self, action: str) -> FormData:
        """Return what was typed into the form with this action; no fields for other forms."""
        return self.form if unquote(action) == self.path else FormData("")


NOTHING_TYPED: Final = TypedForm()


class Notices:
    """Keeps notices and forms by the browser's token. The oldest are dropped.

    A console that replaces another one after a reload takes over the object.
    """

    def __init__(self) -> None:
        self._said: OrderedDict[str, list[Notice]] = OrderedDict()
        self._typed: OrderedDict[str, TypedForm] = OrderedDict()

    def say(self, token: str, notice: Notice) -> None:
        notices = self._said.setdefault(token, [])
        notices.append(notice)
        del notices[:-_MOST_AT_ONCE]
        if len(self._said) > _MOST_BROWSERS:
            self._said.popitem(last=False)

    def said(self, token: str) -> list[Notice]:
        """Return the notices for a browser's next page, once."""
        return self._said.pop(token, [])

    def keep(self, token: str, typed_form: TypedForm) -> None:
        self._typed[token] = typed_form
        if len(self._typed) > _MOST_BROWSERS:
            self._typed.popitem(last=False)

    def typed(self, token: str) -> TypedForm:
        """Return the refused form for a browser's next page, once."""
        return self._typed.pop(token, NOTHING_TYPED)
