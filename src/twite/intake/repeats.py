"""Orders that stand in a file twice."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final
from zlib import crc32

from twite.domain.dedup import dedup_key
from twite.intake.findings import Finding

# About 200 bytes each. A repeat further away than this is left for the gateway to see.
REMEMBERED: Final = 500_000


class Repeats:
    """Remembers orders by their dedup key, and of each field two bytes that tell it apart."""

    def __init__(self, *, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._seen: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()

    def see(self, number: int, conversion: Mapping[str, object]) -> Finding | None:
        """Say whether this pixel, event and conversion id stood in an earlier row.

        What only differs as one person's spelling does (case of an email, spaces) is the same.
        """
        key = dedup_key(
            str(conversion.get("pixel", "")),
            str(conversion.get("event", "")).strip().lower(),
            str(conversion["conversion_id"]),
        )
        print_ = b"".join(_trace(conversion.get(field)) for field in _FIELDS)
        earlier = self._seen.get(key)
        if earlier is None:
            self._seen[key] = (number, print_)
            if len(self._seen) > self._remembered:
                self._seen.popitem(last=False)
            return None
        row, before = earlier
        differing = [
            field
            for place, field in enumerate(_FIELDS)
            if before[2 * place : 2 * place + 2] != print_[2 * place : 2 * place + 2]
        ]
        return _note(row, differing)


_FIELDS: Final = (
    "time", "value", "currency", "email", "email_sha256", "phone", "phone_sha256", "twclid", "ip",
    "user_agent", "url", "contents", "description", "search", "consent",
)  # fmt: skip
_NOTHING: Final = b"\0\0"


def _trace(value: object) -> bytes:
    if value is None:
        return _NOTHING
    text = "".join(str(value).split()).lower()
    return crc32(text.encode()).to_bytes(4)[:2]


def _note(row: int, differing: list[str]) -> Finding:
    if not differing:
        return Finding(
            field="conversion_id",
            code="same_as_earlier",
            message=f"the same order and event as row {row}",
        )
    return Finding(
        field="conversion_id",
        code="differs_from_earlier",
        message=f"the same order and event as row {row}, but with another "
        f"{', '.join(differing)}: which one is right?",
    )
