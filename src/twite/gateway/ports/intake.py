"""Intake port: records submissions."""

from typing import Protocol

from twite.domain.submission import Recorded, Submission


class Intake(Protocol):
    """Takes submissions in."""

    async def record(self, submission: Submission) -> Recorded:
        """Commit a submission, its conversions, dedup keys and deliveries, all or nothing.

        Returns once the commit would survive power loss. An entry whose key was seen within the
        dedup window, in this submission or before, or whose delivery is still to be sent, is a
        duplicate: counted, and never sent.
        Suppressed entries are kept and counted, and neither take nor match a key. What the
        submission ignored is counted; where it brought nothing else, nothing else is kept of it.
        What it refused is counted, and kept as rejections.

        Raises LedgerFull when more waits than memory may hold, LedgerUnavailable when the commit
        failed; nothing of the submission was kept then.
        """
        ...
