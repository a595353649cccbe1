"""Record for a preview what a request would store: conversions for X, and entries of tags."""

from collections.abc import Sequence

from twite.domain.submission import AcceptedConversion
from twite.gateway.ports.tags import PREFIX
from twite.gateway.preview.trace import RequestTrace


def record_entries(trace: RequestTrace, entries: Sequence[AcceptedConversion]) -> None:
    """Record conversions for X. If nothing is to be sent, start dry runs of the tags."""
    for entry in entries:
        verdict = "sent"
        if entry.suppressed is not None:
            verdict = f"suppressed: {entry.suppressed}"
        elif entry.held is not None:
            verdict = f"held: {entry.held}"
        elif trace.sends_nothing:
            verdict = "would be sent"
        if not entry.pixel.startswith(PREFIX):
            trace.conversion(entry.pixel, entry.event, entry.body, verdict)
        elif trace.sends_nothing and entry.suppressed is None:
            trace.run_dry(entry.pixel, entry.body)
