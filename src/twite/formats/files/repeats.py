"""Orders that stand in a file twice."""

from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final
from zlib import crc32

from twite.domain.dedup import dedup_key
from twite.domain.fault import Fault
from twite.domain.times import LATEST, moment
from twite.formats.files.findings import RowFinding

# About 200 bytes each. A repeat further away than this is left for the gateway to see.
REMEMBERED: Final = 500_000


class Repeats:
    """Remembers orders by their dedup key, and of each field two bytes that tell it apart."""

    def __init__(self, *, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._seen: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()

    def see(self, number: int, conversion: Mapping[str, object]) -> RowFinding | None:
        """Say whether this pixel, event and conversion id stood in an earlier row.

        The code is `same_as_earlier` or `differs_from_earlier`, which are notes, or `id_shared`, an
        error: person, time or value are others, so these are two orders, and one of them would be
        lost. What only differs as one person's spelling does (case of an email, spaces) is the
        same, and what one of the rows leaves empty is no contradiction. A denial of consent is
        never an error: it must reach the gateway.
        """
        key = dedup_key(
            str(conversion.get("pixel", "")),
            str(conversion.get("event", "")).strip().lower(),
            str(conversion["conversion_id"]),
        )
        print_ = b"".join(_trace(field, conversion.get(field)) for field in _FIELDS)
        earlier = self._seen.get(key)
        if earlier is None:
            self._seen[key] = (number, print_)
            if len(self._seen) > self._remembered:
                self._seen.popitem(last=False)
            return None
        row, before = earlier
        pairs = {
            field: (before[2 * place : 2 * place + 2], print_[2 * place : 2 * place + 2])
            for place, field in enumerate(_FIELDS)
        }
        others = [] if _denies(conversion.get("consent")) else _contradictions(pairs)
        return _shared(row, others) if others else _note(row, pairs)


_PERSON: Final = ("email", "email_sha256", "phone", "phone_sha256", "twclid")
_FIELDS: Final = (
    "time", "value", "currency", *_PERSON, "ip",
    "user_agent", "url", "contents", "description", "search", "consent",
)  # fmt: skip
_NOTHING: Final = b"\0\0"
_PHONE_END: Final = 8  # digits that are the same with and without a country code


def _trace(field: str, value: object) -> bytes:
    if value is None or value in (b"null", ""):
        return _NOTHING
    text = value.decode() if isinstance(value, bytes) else str(value)
    text = "".join(text.split()).lower()
    if field == "value":
        text = _plain(text.strip('"'))
    elif field == "time":
        at = moment(str(value), now=LATEST, path="time")
        text = text if isinstance(at, Fault) else str(at)
    elif field == "phone":
        text = "".join(filter(str.isdigit, text))[-_PHONE_END:] or text
    return crc32(text.encode()).to_bytes(4)[:2]


def _plain(amount: str) -> str:
    try:
        return f"{Decimal(amount).normalize():f}"
    except InvalidOperation:
        return amount


def _contradictions(pairs: Mapping[str, tuple[bytes, bytes]]) -> list[str]:
    """Return which of person, time and value both rows tell, and tell otherwise.

    It is another person where no identifier is the same.
    """
    same = {
        field: one == other for field, (one, other) in pairs.items() if _NOTHING not in {one, other}
    }
    persons = [same[field] for field in _PERSON if field in same]
    found = ["person"] if persons and not any(persons) else []
    if same.get("time") is False:
        found.append("time")
    if same.get("value") is False or same.get("currency") is False:
        found.append("value")
    return found


def _denies(consent: object) -> bool:
    words = consent.values() if isinstance(consent, Mapping) else ()
    return bool(consent) and any(word != "granted" for word in words)


def _shared(row: int, others: list[str]) -> RowFinding:
    return RowFinding(
        field="conversion_id",
        code="id_shared",
        message=f"the id and event of row {row}, but another {' and '.join(others)}: two orders "
        "under one id would count as one. Take the column that tells orders apart (--map "
        "conversion_id=COLUMN), or remove the wrong row",
    )


def _note(row: int, pairs: Mapping[str, tuple[bytes, bytes]]) -> RowFinding:
    differing = [field for field, (one, other) in pairs.items() if one != other]
    if not differing:
        return RowFinding(
            field="conversion_id",
            code="same_as_earlier",
            message=f"the same order and event as row {row}",
        )
    return RowFinding(
        field="conversion_id",
        code="differs_from_earlier",
        message=f"the same order and event as row {row}, but with another "
        f"{', '.join(differing)}: which one is right?",
    )
