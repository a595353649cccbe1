"""Sightings of conversion ids by path, in memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from twite.domain.stats.sightings import (
    KEPT_FOR,
    MEETS_WITHIN,
    MOST_TOLD,
    DedupReport,
    PixelReport,
    Sighting,
    SightingPath,
    TwoIds,
)
from twite.domain.times import DAY

_GATEWAY = {SightingPath.PAGE, SightingPath.SERVER}


class MemorySightings:
    """Keeps them in a list, and counts when it is asked."""

    def __init__(self) -> None:
        self._seen: list[Sighting] = []

    def _answer_dedup(self, *, since: int) -> Sequence[DedupReport]:
        ids: dict[tuple[str, str, str], list[Sighting]] = defaultdict(list)
        for sighting in self._seen:
            if sighting.at >= since - MEETS_WITHIN:
                ids[sighting.pixel, sighting.event, sighting.conversion_id].append(sighting)
        by_server = [group for group in ids.values() if _ways(group) == {SightingPath.SERVER}]
        counted: dict[tuple[str, str, int], dict[str, int]] = {}
        for (pixel, event, _), seen in ids.items():
            first = _first(seen)
            if first < since:
                continue
            counts = counted.setdefault((pixel, event, first // DAY), defaultdict(int))
            for name, holds in _judged(seen, by_server).items():
                counts[name] += holds
        return [
            DedupReport(pixel=pixel, event=event, day=day, **counts)
            for (pixel, event, day), counts in sorted(counted.items())
        ]

    def _answer_id_pairs(self, *, since: int, limit: int) -> Sequence[TwoIds]:
        ids: dict[tuple[str, str, str], list[Sighting]] = defaultdict(list)
        for sighting in self._seen:
            if sighting.at >= since - MEETS_WITHIN:
                ids[sighting.pixel, sighting.event, sighting.conversion_id].append(sighting)
        by_server = [group for group in ids.values() if _ways(group) == {SightingPath.SERVER}]
        found = []
        for (pixel, event, page_id), seen in ids.items():
            at = _first(seen)
            others = [other for other in by_server if _same(seen, other)]
            if at >= since and SightingPath.SERVER not in _ways(seen) and others:
                other = others[0][0].conversion_id
                found.append(
                    TwoIds(pixel=pixel, event=event, page_id=page_id, server_id=other, at=at)
                )
        return sorted(found, key=lambda match: (-match.at, match.page_id))[:limit]

    def _answer_pixel_reports(
        self, *, pixel: str, event: str, conversion_id: str
    ) -> Sequence[PixelReport]:
        reports = [
            PixelReport(at=sighting.at, blocked=sighting.way is SightingPath.BLOCKED)
            for sighting in self._seen
            if (sighting.pixel, sighting.event, sighting.conversion_id)
            == (pixel, event, conversion_id)
            and sighting.way not in _GATEWAY
        ]
        return sorted(reports, key=lambda report: report.at)[:MOST_TOLD]

    def _sight(self, seen: Sequence[Sighting]) -> None:
        if seen:
            before = max(sighting.at for sighting in seen) - KEPT_FOR
            self._seen = [sighting for sighting in self._seen if sighting.at >= before] + list(seen)


def _judged(seen: Sequence[Sighting], by_server: Sequence[Sequence[Sighting]]) -> dict[str, bool]:
    ways = _ways(seen)
    pixel = [sighting.at for sighting in seen if sighting.way is SightingPath.PIXEL]
    gateway = [sighting.at for sighting in seen if sighting.way in _GATEWAY]
    return {
        "both": bool(pixel and gateway),
        "pixel_only": bool(pixel and not gateway),
        "server_only": bool(gateway and not pixel),
        "blocked": SightingPath.BLOCKED in ways,
        "page_and_server": ways >= _GATEWAY,
        "two_ids": SightingPath.SERVER not in ways
        and any(_same(seen, other) for other in by_server),
        "late": bool(pixel and gateway)
        and max(max(pixel) - min(gateway), min(gateway) - min(pixel)) > MEETS_WITHIN,
    }


def _same(ours: Sequence[Sighting], theirs: Sequence[Sighting]) -> bool:
    near = abs(_first(ours) - _first(theirs)) <= MEETS_WITHIN
    return near and bool(_marks(ours) & _marks(theirs))


def _marks(seen: Iterable[Sighting]) -> set[tuple[str, str, str, int]]:
    return {
        (sighting.pixel, sighting.event, kind, mark)
        for sighting in seen
        for kind in ("email_mark", "phone_mark", "click_mark")
        if (mark := getattr(sighting, kind)) is not None
    }


def _ways(seen: Iterable[Sighting]) -> set[SightingPath]:
    return {sighting.way for sighting in seen}


def _first(seen: Iterable[Sighting]) -> int:
    return min(sighting.at for sighting in seen)
