"""`twite show`: show the history of a conversion, as text or JSON."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
import typer

from twite.app.store_access import read_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, known_pixel, load
from twite.cli.rejected import print_rejection, read_rejections
from twite.config.settings import Settings
from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.delivery import NO_REQUEST, State
from twite.domain.history import History, PastAttempt, waiting
from twite.domain.plural import plural
from twite.domain.submission import KEPT_FOR, RejectionQuery
from twite.domain.times import MINUTE, SECOND, spelled
from twite.gateway.operations.explain import compact
from twite.gateway.ports.queries import (
    AttemptsQuery,
    ByConversionId,
    ByReceipt,
    DeliveredQuery,
)
from twite.gateway.ports.store import StoreReader
from twite.gateway.ports.tags import PREFIX
from twite.http.routes.reports import HistoryView, gained_views, history_view, rejection_view
from twite.machine.system import SystemClock
from twite.redaction.mask_tree import masked_words

_RECEIPT: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


ByPixel = Mapping[str, Sequence[tuple[int, int]]]  # (time, conversions) of each request
_RECENT: Final = 5 * MINUTE
_LONGEST_ANSWER: Final = 300
_LONGEST_EVIDENCE: Final = 2_000
_STYLES: Final = {
    State.DELIVERED: "green",
    State.HELD: "bold yellow",
    State.DEAD: "bold red",
    State.SUPPRESSED: "dim",
}


def show(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="A conversion id, or the receipt of a request")
    ],
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    as_json: Json = False,
) -> None:
    """Searches all pixels and the rejected conversions. Exits with 1 if nothing is found.

    Example: `twite show order-1001 --pixel o8z6j`
    """
    found = load(config)
    known_pixel(found, pixel)
    histories = _histories(found, name, pixel)
    now = SystemClock().now()
    stalled = _stalled(found, histories, now=now)
    since = now - KEPT_FOR
    pixels = None if pixel is None else frozenset({pixel})
    refused = read_rejections(found, RejectionQuery(name=name, pixels=pixels, since=since))
    if as_json:
        rejections = [
            {"state": "rejected", **msgspec.to_builtins(rejection_view(rejection))}
            for rejection in refused
        ]
        printing.print_json(
            [
                *(
                    history_as_json(history, now=now, stalled=stalled.get(history.pixel))
                    for history in histories
                ),
                *rejections,
            ]
        )
    for index, history in enumerate(histories if not as_json else ()):
        if index:
            printing.say("")
        print_history(history, now=now, stalled=stalled.get(history.pixel))
    for index, rejection in enumerate(refused if not as_json else (), len(histories)):
        if index:
            printing.say("")
        print_rejection(rejection)
    if refused:
        return
    if not histories and pixel is not None and pixel.startswith(PREFIX):
        for why in _not_fired(found, name, pixel):
            printing.complain(f"{pixel} did not fire for {name}: {printing.safe(why)}")
            raise typer.Exit(1)
    if not histories:
        printing.complain(
            f"Found nothing for {name}. Rejected conversions are kept for seven days: "
            "twite rejected lists them."
        )
        raise typer.Exit(1)


def _not_fired(settings: Settings, name: str, tag: str) -> list[str]:
    """Return why a tag did not fire for a conversion that other destinations received."""
    return [
        not_fired.why
        for history in _histories(settings, name, None)
        for not_fired in history.not_fired
        if not_fired.tag == tag
    ]


def _histories(settings: Settings, name: str, pixel: str | None) -> list[History]:
    """Return the histories of a conversion id or a receipt, latest first."""
    histories: dict[int, History] = {}

    async def read(reader: StoreReader) -> None:
        own = [destination.pixel for destination in settings.destinations()]
        # These are tags, and pixels that are no longer configured.
        others = {account.pixel for account in await reader.balance()}.difference(own)
        for known in (*own, *sorted(others)):
            if pixel in {None, known}:
                # All events of the pixel, because the mapping may have changed since then.
                for history in await reader.find(
                    ByConversionId(pixel=known, events=None, conversion_id=name)
                ):
                    histories[history.delivery] = history
        if _RECEIPT.fullmatch(name):
            for history in await reader.find(ByReceipt(receipt=name.lower())):
                if pixel in {None, history.pixel}:
                    histories[history.delivery] = history

    read_records(settings, read)
    return sorted(histories.values(), key=lambda history: history.received_at, reverse=True)


def _stalled(settings: Settings, histories: Sequence[History], *, now: int) -> dict[str, str]:
    """Return, for pixels and tags that recently accepted nothing, why conversions wait.

    A conversion that is ready, or was never tried, has no time of its own: after failures, the
    gateway sends a pixel one request at a time, and waits for at most PROBE_EVERY in between.
    """
    if not any(history.state is State.QUEUED for history in histories):
        return {}

    async def read(reader: StoreReader) -> tuple[ByPixel, ByPixel]:
        since = now - _RECENT
        tried = await reader.answer(AttemptsQuery(since=since))
        return tried, await reader.answer(DeliveredQuery(since=since))

    tried, delivered = read_records(settings, read)
    return {
        pixel: f"{'the recipient' if pixel.startswith(PREFIX) else 'X'} accepted nothing in the "
        f"last {_RECENT // MINUTE} minutes ({plural(len(attempts), 'request')}); after each "
        f"failure, Twite tries again within {PROBE_EVERY // SECOND} seconds"
        for pixel, attempts in tried.items()
        if attempts and not delivered.get(pixel)
    }


class ShownHistory(HistoryView, frozen=True, kw_only=True, omit_defaults=True):
    """The history as in `GET /v1/conversions/…`, masked, with its delivery and copies."""

    delivery: int
    superseded_by: int | None = None
    supersedes: tuple[int, ...] = ()


def _waiting(history: History, *, now: int, stalled: str | None) -> str | None:
    """Return why a queued conversion waits, from its own state or the pixel's failures."""
    why = waiting(history, now=now)
    return stalled if why is None and history.state is State.QUEUED else why


def history_as_json(history: History, *, now: int = 0, stalled: str | None = None) -> ShownHistory:
    """Return a history for JSON output. Responses and reasons are masked."""
    view = history_view(history, now=now)
    return ShownHistory(
        **msgspec.structs.asdict(view)
        | {
            "sent": msgspec.Raw(compact(history.sent)),
            "attempts": tuple(
                msgspec.structs.replace(attempt, answer=masked_words(attempt.answer))
                for attempt in view.attempts
            ),
            "consent": None if history.consent is None else msgspec.Raw(compact(history.consent)),
            "reason": _masked(view.reason),
            "waiting": _masked(_waiting(history, now=now, stalled=stalled)),
        },
        delivery=history.delivery,
        superseded_by=history.superseded_by,
        supersedes=history.supersedes,
    )


def _masked(words: str | None) -> str | None:
    return None if words is None else masked_words(words)


def print_history(history: History, *, now: int, stalled: str | None = None) -> None:
    """Print a history with all details. `now` is in milliseconds; `stalled` as in _stalled."""
    state = printing.styled(history.state.value, _STYLES.get(history.state, "bold"))
    printing.say(
        f"{history.conversion_id}  event {history.event} of pixel {history.pixel}: ", state
    )
    if history.reason:
        printing.say(f"  because      {_safe(history.reason)}")
    if (why := _waiting(history, now=now, stalled=stalled)) is not None:
        printing.say(f"  waits        {_safe(why)}")
    printing.say(f"  source       {history.source}")
    printing.say(f"  receipt      {history.receipt}")
    printing.say(f"  received at  {spelled(history.received_at)}")
    if history.due_at is not None:
        printing.say(f"  next attempt {spelled(history.due_at)}")
    printing.say(f"  deadline at  {spelled(history.deadline_at)}")
    printing.say(f"  duplicates   {history.duplicates}")
    printing.say(f"  delivery     {history.delivery}")
    _print_copies(history)
    for gained in gained_views(history):
        aged = "" if gained.age is None else f": {gained.age}"
        printing.say(
            f"  gained       {gained.identifier} from {_safe(gained.origin)}, "
            f"known since {gained.at}{aged}"
        )
    body = compact(history.sent).decode() if history.sent else "no longer kept, or damaged"
    if history.consent is not None:
        shown = printing.safe(compact(history.consent).decode(), longest=_LONGEST_EVIDENCE)
        printing.say(f"  consent      {shown}")
    printing.say(f"  body         {body}")
    for tag in history.not_fired:
        why = printing.safe(tag.why, longest=_LONGEST_ANSWER)
        printing.say(f"  {printing.safe(tag.tag, longest=60):<12} did not fire: {why}")
    if not history.attempts:
        printing.say("  no attempt yet")
    other = "the recipient" if history.pixel.startswith(PREFIX) else "X"
    for number, attempt in enumerate(history.attempts, 1):
        status, answer = _answered(attempt)
        doubt = f", and {other} may have processed it" if attempt.ambiguous else ""
        printing.say(
            f"  attempt {number}    {spelled(attempt.at)}  {attempt.outcome}, {status}{doubt}"
        )
        if answer:
            printing.say(f"               {_safe(answer)}")


def _print_copies(history: History) -> None:
    if history.superseded_by is not None:
        printing.say(f"  superseded by delivery {history.superseded_by}, a later copy")
    if history.supersedes:
        older = ", ".join(str(supersede) for supersede in history.supersedes)
        printing.say(f"  supersedes   delivery {older}")


def _answered(attempt: PastAttempt) -> tuple[str, str]:
    """Return the response's status, and its text."""
    if attempt.is_without_request:
        return "made no request", attempt.answer.removeprefix(NO_REQUEST).removeprefix(": ")
    status = "no answer" if attempt.status is None else f"HTTP {attempt.status}"
    return status, attempt.answer


def _safe(text: str) -> str:
    return printing.safe(masked_words(text), longest=_LONGEST_ANSWER)
