"""Compare requests of Twite's tags with captured requests: pair them, list the differences.

Two requests can be paired if method, host and path are equal. If there are several candidates, the
pair with the fewest differences is chosen. Bodies are compared as JSON or as forms, if possible;
only headers set by a template are compared.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import msgspec

from twite.tags.compare.capture import CapturedRequest
from twite.tags.json_tree import Tree
from twite.tags.redaction.secrets import is_confidential
from twite.tags.redaction.shown_values import shown_path
from twite.tags.template.effects import HttpEffect

# Random or time-dependent parameters: their differences are only counted.
VOLATILE: Final = (
    "*.conversion_timestamp",
    "*.event_time",
    "*.timestamp",
    "*.timestamp_micros",
    "*.unique_event_id",
    "*.sent_at",
    "headers.x-request-id",
)
STAND_IN: Final = "(a secret that is not here)"  # values with this placeholder are not compared
ABSENT: Final = "(absent)"
_MOST_DEEP: Final = 40


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    there: Tree
    here: Tree


class ComparedPair(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    tag: str
    differences: tuple[Difference, ...]
    ignored: tuple[str, ...]


class TagRequest(msgspec.Struct, frozen=True, kw_only=True):
    tag: str
    request: HttpEffect


class ComparisonResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of comparing one case.

    `missing` has the URLs of requests that only the other system sent, `extra` those that only
    Twite sent.
    """

    pairs: tuple[ComparedPair, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()  # (tag, address)


def compared(
    asked: Sequence[TagRequest], sent: Sequence[CapturedRequest], ignore: Sequence[str]
) -> ComparisonResult:
    there = [_parts(captured) for captured in sent]
    here = [_parts(own.request) for own in asked]
    candidates = sorted(
        (
            (len(found.differences), at, mine, found)
            for at, other in enumerate(there)
            for mine, own in enumerate(here)
            if other.about == own.about
            for found in (_pair(other, own, asked[mine].tag, ignore),)
        ),
        key=lambda candidate: candidate[:3],
    )
    pairs: dict[int, ComparedPair] = {}
    taken: set[int] = set()
    for _, at, mine, found in candidates:
        if at not in pairs and mine not in taken:
            pairs[at] = found
            taken.add(mine)
    return ComparisonResult(
        pairs=tuple(pairs[at] for at in sorted(pairs)),
        missing=tuple(request.place for at, request in enumerate(there) if at not in pairs),
        extra=tuple(
            (asked[at].tag, request.place) for at, request in enumerate(here) if at not in taken
        ),
    )


class _Parts(msgspec.Struct, frozen=True, kw_only=True):
    about: str  # method and URL without the query
    place: str  # the same without parts that may be keys
    query: Tree
    headers: dict[str, str] | None
    body: Tree


def _parts(request: HttpEffect | CapturedRequest) -> _Parts:
    method, headers = request.method, request.headers
    try:
        split = urlsplit(request.url)
        host = f"{method} {split.scheme}://{_host(split)}"
        path, query = unquote(split.path) or "/", _form(split.query)
    except ValueError:
        host, path, query = f"{method} (no address)", "", {}
    named = None if headers is None else {k.lower(): v for k, v in headers.items()}
    return _Parts(
        about=host + path,
        place=host + _shown_path(path),
        query=query,
        headers=named,
        body=_body(request.body),
    )


def _host(address: SplitResult) -> str:
    """Return host and port as a connection normalizes them. Raises ValueError."""
    host = (address.hostname or "").encode("idna").decode()
    usual = {"http": 80, "https": 443}.get(address.scheme)
    return host if address.port in {None, usual} else f"{host}:{address.port}"


def _shown_path(path: str) -> str:
    """Return a path with `***` for segments that look like keys, such as `/stape-api/KEY/v1`."""
    steps = path.split("/")
    return "/".join(
        "***" if is_confidential(step) or steps[at - 1] == "stape-api" else step
        for at, step in enumerate(steps)
    )


def _body(text: str | None) -> Tree:
    if text is None or text == "":
        return None
    try:
        tree: Tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        form = _form(text)
        return form if form and "=" in text and not text.lstrip().startswith(("<", "{")) else text
    return tree


def _form(text: str) -> dict[str, Tree]:
    try:
        pairs = parse_qs(text, keep_blank_values=True, max_num_fields=10_000)
    except ValueError:
        return {"": text}
    return {key: found[0] if len(found) == 1 else [*found] for key, found in pairs.items()}


def _is_ignored(difference: Difference, ignore: Sequence[str]) -> bool:
    if isinstance(difference.here, str) and STAND_IN in difference.here:
        return True
    return any(fnmatchcase(difference.path, wanted) for wanted in ignore)


def _pair(other_parts: _Parts, own_parts: _Parts, tag: str, ignore: Sequence[str]) -> ComparedPair:
    found = [
        *_differences(other_parts.query, own_parts.query, "query"),
        *_headers(other_parts.headers, own_parts.headers),
        *_differences(other_parts.body, own_parts.body, "body"),
    ]
    ignored = [difference for difference in found if _is_ignored(difference, ignore)]
    return ComparedPair(
        url=other_parts.place,
        tag=tag,
        differences=tuple(difference for difference in found if difference not in ignored),
        ignored=tuple(difference.path for difference in ignored),
    )


def _headers(there: dict[str, str] | None, here: dict[str, str] | None) -> Iterator[Difference]:
    """Compare only headers that a template sets: others come from the HTTP client."""
    if there is None:
        return
    for name, value in (here or {}).items():
        if there.get(name) != value:
            yield Difference(path=f"headers.{name}", there=there.get(name, ABSENT), here=value)


def _differences(there: Tree, here: Tree, path: str, deep: int = 0) -> Iterator[Difference]:
    theirs, ours = _children(there), _children(here)
    if theirs is None or ours is None or type(there) is not type(here) or deep > _MOST_DEEP:
        if there != here or isinstance(there, bool) is not isinstance(here, bool):
            yield Difference(path=path, there=there, here=here)
        return
    for key in [*theirs, *(our for our in ours if our not in theirs)]:
        below = f"{path}.{key}"
        yield from _differences(theirs.get(key, ABSENT), ours.get(key, ABSENT), below, deep + 1)


def _children(tree: Tree) -> dict[str, Tree] | None:
    if isinstance(tree, list):
        return {str(at): item for at, item in enumerate(tree)}
    return tree if isinstance(tree, dict) else None


Mask = Callable[[str, Tree], str]


class ShownDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one case: the comparison, and the tags that failed in Twite, with the reason.

    `unread` is the error if the case cannot be read. `kept_back` has a reason for each event that
    the gateway did not pass to any tag.
    """

    line: int
    compared: ComparisonResult = ComparisonResult()
    failed: tuple[tuple[str, str], ...] = ()
    unread: str = ""
    kept_back: tuple[str, ...] = ()


class DifferenceGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Differences at the same place in requests of the same tag.

    `times` is their number; `there` and `here` are masked example values from `line`.
    """

    tag: str
    url: str
    path: str
    times: int
    line: int
    there: str
    here: str


class ComparisonSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of all cases.

    `matched` and `different` count requests; the other fields count by URL, tag or error.
    `kept_back` counts events by the reason.
    """

    cases: int
    matched: int
    different: int
    missing: dict[str, int]
    extra: dict[str, int]
    failed: dict[str, int]
    unread: dict[str, int]
    kept_back: dict[str, int]
    ignored: dict[str, int]
    differences: tuple[DifferenceGroup, ...]

    @property
    def is_alike(self) -> bool:
        odd = (self.different, self.missing, self.extra, self.failed, self.unread, self.kept_back)
        return not any(odd)


def summed(shown: Iterable[ShownDifference], mask: Mask) -> ComparisonSummary:
    """Summarize the cases. `mask` makes a path and its value safe to show."""
    groups: dict[tuple[str, str, str], DifferenceGroup] = {}
    missing, extra, failed = Counter[str](), Counter[str](), Counter[str]()
    unread, ignored, alike = Counter[str](), Counter[str](), Counter[bool]()
    kept_back, cases = Counter[str](), 0
    for case in shown:
        cases += 1
        unread.update([case.unread] if case.unread else [])
        kept_back.update(case.kept_back)
        missing.update(case.compared.missing)
        extra.update(f"{tag}: {url}" for tag, url in case.compared.extra)
        failed.update(f"{tag}: {why}" for tag, why in case.failed)
        for pair in case.compared.pairs:
            alike[not pair.differences] += 1
            ignored.update(shown_path(path) for path in pair.ignored)
            _group(groups, pair, case.line, mask)
    return ComparisonSummary(
        cases=cases,
        matched=alike[True],
        different=alike[False],
        missing=dict(missing.most_common()),
        extra=dict(extra.most_common()),
        failed=dict(failed.most_common()),
        unread=dict(unread.most_common()),
        kept_back=dict(kept_back.most_common()),
        ignored=dict(ignored.most_common()),
        differences=tuple(sorted(groups.values(), key=lambda group: -group.times)),
    )


def _group(
    groups: dict[tuple[str, str, str], DifferenceGroup], pair: ComparedPair, line: int, mask: Mask
) -> None:
    for difference in pair.differences:
        path = shown_path(difference.path)
        key = (pair.tag, pair.url, path)
        if key in groups:
            groups[key] = msgspec.structs.replace(groups[key], times=groups[key].times + 1)
            continue
        there, here = (
            ABSENT if value == ABSENT else mask(difference.path, value)
            for value in (difference.there, difference.here)
        )
        groups[key] = DifferenceGroup(
            tag=pair.tag, url=pair.url, path=path, times=1, line=line, there=there, here=here
        )
