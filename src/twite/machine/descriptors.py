"""The limit of open files, and the number of connections that it allows.

Each connection is a descriptor. Without free descriptors the system accepts no connection and
reports nothing, and neither the store nor the sender gets one.
"""

import contextlib
from typing import Final

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

SPARE: Final = 256  # for the store, X, tags and clients, files of the process, and the log
_FEWEST: Final = 16


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one, if the system allows it."""
    if resource is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def room_for_connections(most: int) -> int:
    """Return the connection limit, at most `most`, with SPARE descriptors left."""
    if resource is None:
        return most
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return max(_FEWEST, min(most, soft - max(SPARE, soft // 8)))
