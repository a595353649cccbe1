"""Diagnostics of the disk below the store: free space, and the time of a sync."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twite.gateway.ports.findings import CheckFinding, amber, green, red

_PAGE: Final = b"\0" * 4096
_SYNCS: Final = 21
# Above, a request waits noticeably for its commit; below, a cache answers before the disk.
_SLOW_MS: Final = 5.0
_TOO_FAST_MS: Final = 0.05
_LITTLE_ROOM: Final = 1 << 30
_NO_ROOM: Final = 64 << 20


def disk(folder: Path) -> Iterator[CheckFinding]:
    """Measure the disk of the folder, with a temporary file."""
    yield on_room(shutil.disk_usage(folder).free, folder)
    try:
        yield on_sync(sync_ms(folder))
    except OSError as failure:
        yield red(
            "disk",
            f"no file can be written in {folder} ({failure.strerror})",
            "The store cannot be written.",
            "Check the owner of the folder and how the disk is mounted.",
        )


def on_room(free: int, folder: Path) -> CheckFinding:
    """Judge the free bytes."""
    shown = f"{free / (1 << 30):.1f} GiB free in {folder}"
    cure = "Free some space, or move store.url to a larger disk."
    if free < _NO_ROOM:
        return red("disk", shown, "A full disk makes the gateway answer 503.", cure)
    if free < _LITTLE_ROOM:
        return amber("disk", shown, "A million conversions take about a gigabyte.", cure)
    return green("disk", shown)


def on_sync(took: float) -> CheckFinding:
    """Judge the time of a sync, in milliseconds."""
    shown = f"a sync takes {took:.2f} ms"
    if took > _SLOW_MS:
        return amber(
            "disk",
            shown,
            "Each answer waits for a sync; batches and parallel requests share one.",
            "Put the store on a local SSD, or submit in batches.",
        )
    if took < _TOO_FAST_MS:
        return amber(
            "disk",
            shown,
            "This is faster than any disk: a cache that is lost with the power may be answering.",
            "Make sure that the cache is battery-backed, or that this is not a RAM disk.",
        )
    return green("disk", shown)


def sync_ms(folder: Path) -> float:
    """Return the median of a few syncs of one page, in milliseconds. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".twite-probe-") as file:
        times = []
        for _ in range(_SYNCS):
            file.write(_PAGE)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - begun) * 1_000)
    return statistics.median(times)
