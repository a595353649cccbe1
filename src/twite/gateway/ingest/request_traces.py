"""Begin the traces of requests that were committed."""

from collections.abc import Sequence

from twite.domain.submission import Recorded, Submission
from twite.gateway.ingest.receipts import PendingRequest, UncommittedRequest
from twite.gateway.ports.tracing import StoredRequest, Tracing


class RequestTraces:
    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self.now = tracing.now

    def begin(
        self, submission: Submission, recorded: Recorded, *, began: int, parent: bytes | None
    ) -> None:
        """Begin a trace, if it is kept. `began` is when the commit began, in nanoseconds."""
        if recorded.conflict or not self._tracing.keeps(submission.received_at):
            return
        self._tracing.stored(
            StoredRequest(
                receipt=submission.receipt,
                source=submission.source,
                endpoint=submission.endpoint,
                received_at=submission.received_at,
                began=began,
                ended=self._tracing.now(),
                conversions=len(submission.entries),
                duplicates=len(recorded.duplicates),
                trace_parent=parent,
            )
        )

    def begin_all(
        self,
        group: Sequence[tuple[PendingRequest, UncommittedRequest]],
        results: Sequence[Recorded | Exception],
        *,
        began: int,
    ) -> None:
        for (request, uncommitted), result in zip(group, results, strict=True):
            submission = uncommitted.submission
            if self._tracing.keeps(submission.received_at) and isinstance(result, Recorded):
                parent = dict(request.headers).get(b"traceparent")
                self.begin(submission, result, began=began, parent=parent)
