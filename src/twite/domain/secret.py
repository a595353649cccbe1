"""Secret: a credential that does not print. Masked: a struct that does not print its fields."""

import hmac
from typing import ClassVar, final

import msgspec


@final
class Secret:
    """A credential that does not print: `repr`, `str` and formatting give `***`.

    It is not a `str`, so that no log or encoder can write it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, for the call that needs it."""
        return self._text

    def matches(self, offered: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self._text.encode(), offered.encode("utf-8", "surrogatepass"))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Masked(msgspec.Struct, frozen=True):
    """A struct with personal data or secrets: its repr shows only the fields in `in_repr`."""

    in_repr: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        shown = "".join(f"{name}={getattr(self, name)!r}, " for name in self.in_repr)
        return f"{type(self).__name__}({shown}***)"
