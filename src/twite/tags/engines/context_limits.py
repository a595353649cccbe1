"""The limits of a template's context, and the errors for exceeded limits.

This module loads neither the engine nor the gateway: both sides of an engine process need it.
"""

from typing import Final

import msgspec

# Without memory for an error object, the engine throws null, or reports an error that cannot be
# displayed. This happens when a table of property names cannot grow. If only the message does not
# fit, the error has none.
FULL: Final = frozenset(
    {
        "InternalError: out of memory",
        "InternalError: ",
        "thrown: null",
        "thrown: [uninitialized]",
    }
)
# Errors for exceeded limits begin with these.
OUT_OF_MEMORY: Final = "the run used too much memory"
TOO_LONG: Final = "the run took too much time"


class ContextLimits(msgspec.Struct, frozen=True, kw_only=True):
    """See gtm.template.sandbox.RunLimits."""

    time: float
    memory: int
    stack: int
    recycle_after: int


def limit_passed(error: str, *, time: float, memory: int) -> str:
    """Explain which limit the engine's error message means, and how to fix it."""
    head = error.partition("\n")[0]
    if "interrupted" in head:
        return too_long(time)
    if head == "null" or head in FULL or "out of memory" in head:
        return f"{OUT_OF_MEMORY}. A template may use {memory / (1 << 20):.4g} MiB. Keep less data"
    return f"the run exceeded a limit: {head}"


def too_long(time: float) -> str:
    """Return the error for a step that used up its CPU time (in seconds)."""
    return (
        f"{TOO_LONG}. A step may use {time * 1_000:.4g} ms of CPU time. "
        "Simplify the template's loops and regular expressions"
    )
