"""Queued tag payloads, in memory."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from twite.domain.delivery import State
from twite.gateway.ports.outbox import RewrittenPayloads, Write
from twite.gateway.ports.tags import PREFIX
from twite.gateway.tags.run.payload import TagPayload
from twite.stores.memory.row import MemoryRow

_HEAD = 6
_UNSETTLED = (State.QUEUED, State.SENDING, State.HELD, State.DEAD)


class MemoryTagPayloads:
    """The queued tag payloads. Rows are the store's own."""

    _rows: dict[int, MemoryRow]

    async def rewrite(self, write: Write, *, after: int, limit: int) -> RewrittenPayloads:
        rows = [row for row in self._unsettled() if row.id > after]
        done = 0
        for row in rows[:limit]:
            is_letter = row.entry.pixel.startswith(PREFIX)
            anew = write(row.entry.pixel, row.entry.body) if is_letter else None
            if anew is not None:
                row.entry = msgspec.structs.replace(row.entry, body=anew)
                done += 1
        return RewrittenPayloads(
            letters=done, last=rows[limit - 1].id if len(rows) >= limit else None
        )

    def _answer_payload_heads(self) -> Sequence[tuple[bytes, int]]:
        found: Counter[bytes] = Counter()
        for row in self._unsettled():
            if row.entry.pixel.startswith(PREFIX):
                letter = msgspec.json.decode(row.entry.body, type=TagPayload)
                if letter.sealed is not None:
                    found[letter.sealed[:_HEAD]] += 1
        return list(found.items())

    def _unsettled(self) -> list[MemoryRow]:
        return [row for _, row in sorted(self._rows.items()) if row.state in _UNSETTLED]
