"""Identifiers of a person, and X's rule on which are enough."""

import msgspec


class Identifiers(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The identifiers of one conversion, as X wants them. None prints.

    `email` and `phone` are SHA-256 digests, 64 lower-case hexadecimal digits; the others are raw.
    """

    click_id: str | None = None
    email: str | None = None
    phone: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    browser_id: str | None = None  # the `_twpid` cookie

    @property
    def suffice(self) -> bool:
        """A click id, email or phone is enough alone; IP and user agent only together. [doc WEB]"""
        return bool(self.click_id or self.email or self.phone or (self.ip and self.user_agent))

    def __repr__(self) -> str:
        kinds = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        return f"Identifiers({', '.join(f'{kind}=***' for kind in kinds)})"
