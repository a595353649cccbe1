"""The cookies of the console. No template reads or sets them."""

from typing import Final

SESSION: Final = "twite"
VISITOR: Final = "twite-visitor"
THEME: Final = "twite-theme"
ZONE: Final = "twite-zone"  # the browser's time zone, which the console's script sets
HOST_BOUND: Final = "__Host-"  # browsers accept these names only over https, from the host itself

_PREFIXES: Final = (SESSION, f"{HOST_BOUND}{SESSION}".lower())


def is_console_cookie(name: str) -> bool:
    """Return whether the console may use this name. Some browsers compare prefixes without case."""
    return name.lower().startswith(_PREFIXES)


def sets_console_cookie(set_cookie: str) -> bool:
    """Return whether a value of Set-Cookie sets such a cookie.

    A browser sends the cookie `=twite=1`, which has no name, like one with the name `twite`.
    """
    return is_console_cookie(set_cookie.lstrip("= \t").partition("=")[0].partition(";")[0].strip())


def without_console_cookies(cookies: str) -> str:
    """Return the value of a Cookie header without the console's cookies."""
    pairs = [pair.strip() for pair in cookies.split(";")]
    return "; ".join(pair for pair in pairs if not sets_console_cookie(pair))
