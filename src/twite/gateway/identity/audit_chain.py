"""Verify the hash chain of the audit log."""

from typing import Final

import msgspec

from twite.domain.people.users import NO_HASH, first_wrong
from twite.gateway.ports.directory import DirectoryReader

_AT_ONCE: Final = 1_000


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `wrong` is the first entry that was changed."""

    entries: int
    head: bytes
    wrong: int | None
    knows_head: bool

    @property
    def is_whole(self) -> bool:
        """Whether the chain is intact."""
        return self.wrong is None and self.knows_head


async def verified(trail: DirectoryReader, *, head: str | None = None) -> AuditVerdict:
    """Walk the whole chain; `head` is a hash (hexadecimal) that must be in it."""
    before, seen = NO_HASH, 0
    sought = None if head is None else head.strip().lower()
    knows = sought is None or sought == before.hex()
    while entries := await trail.audit(after=seen, limit=_AT_ONCE):
        wrong = first_wrong(entries, before=before, number=seen + 1)
        if wrong is not None:
            return AuditVerdict(entries=wrong - 1, head=before, wrong=wrong, knows_head=knows)
        knows = knows or any(entry.hash.hex() == sought for entry in entries)
        before, seen = entries[-1].hash, entries[-1].number
    return AuditVerdict(entries=seen, head=before, wrong=None, knows_head=knows)
