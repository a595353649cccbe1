"""Google's endpoints, or the address of a test or an emulator."""

from typing import Final

import msgspec
from yarl import URL

_APIS: Final = "googleapis.com"
# Further hosts that our own service calls use; a template's requests to these stay as they are.
_BESIDE: Final = frozenset({"www.google-analytics.com", "www.googletagmanager.com"})


class GoogleEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes. `allow_hosts` are those of ours that may have private addresses."""

    url: str
    allow_hosts: frozenset[str] = frozenset()


class GoogleEndpoints:
    """`api_url` takes the place of all of googleapis.com; with it, paths stay as they are."""

    def __init__(self, api_url: str | None = None) -> None:
        self._instead = None if api_url is None else URL(api_url)

    def of(self, url: str, *, own: bool = False) -> GoogleEndpoint:
        """Return where a request goes; `own` for one that a service of Google's needs."""
        meant = read(url)
        if self._instead is None or meant is None:
            return GoogleEndpoint(url=url)
        host = meant.raw_host or ""
        if not is_of_the_apis(host) and not (own and host in _BESIDE):
            return GoogleEndpoint(url=url)
        instead = self._instead
        there = meant.with_scheme(instead.scheme).with_host(instead.host or "")
        moved = str(there.with_port(instead.explicit_port))
        if instead.raw_path != "/":
            origin = str(there.with_port(instead.explicit_port).origin())
            moved = f"{origin}{instead.raw_path}{moved.removeprefix(origin)}"
        return GoogleEndpoint(url=moved, allow_hosts=frozenset({instead.raw_host or ""}))


def may_carry(url: str) -> bool:
    """Say whether a token may go to an address: Google's APIs, encrypted, and nobody else."""
    meant = read(url)
    return (
        meant is not None
        and meant.scheme == "https"
        and meant.port == 443
        and meant.user is None
        and is_of_the_apis(meant.raw_host or "")
    )


def is_of_the_apis(host: str) -> bool:
    """Say whether a host is one of googleapis.com, in the spelling of a connection."""
    return host == _APIS or host.endswith(f".{_APIS}")


def read(url: str) -> URL | None:
    """Read an address as the connection does; None for what is none."""
    try:
        found = URL(url)
    except ValueError:
        return None
    return found if found.scheme in {"http", "https"} and found.raw_host else None
