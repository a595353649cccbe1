"""The process's limit of open files, and how many connections it leaves room for.

Each connection is a descriptor. Where they run out, the system accepts nothing more and tells
nobody, and the store and the way to X find none either.
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
    """Raise the soft limit of open files to the hard one, where the system lets us."""
    if resource is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def room_for_connections(most: int) -> int:
    """Return how many connections may be open, `most` at most, with SPARE descriptors left."""
    if resource is None:
        return most
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return max(_FEWEST, min(most, soft - max(SPARE, soft // 8)))
