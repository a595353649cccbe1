"""How the demo ends: what came in, where it is, what X has, and whether the two agree."""

import csv
from collections import Counter
from typing import Final

import msgspec

from twite.cli import printing
from twite.cli.demo.processes import PIXEL, DemoProcesses
from twite.cli.demo.story import DemoStory
from twite.domain.fault import CODES
from twite.formats.files import findings

# A row is refused by the gateway, or by `twite send`, which has words of its own.
_REASONS: Final = {**CODES, **findings.ERRORS}
_STATES: Final = ("delivered", "duplicate", "suppressed", "rejected", "dead", "held", "pending")
_MEANINGS: Final = {
    "delivered": "X has them",
    "duplicate": "the same again: counted, not sent",
    "suppressed": "not sent on purpose",
    "rejected": "rejected at intake, with a reason",
    "dead": "refused by X, for good",
    "held": "waiting for a person",
    "pending": "on their way",
}


def tell_the_end(cast: DemoProcesses, story: DemoStory) -> bool:
    """Print the tables; return whether all is as it must be."""
    balance = cast.balance()
    counted = EmulatorCounts(cast)
    printing.say("")
    rows: list[tuple[str, int, str]] = [("received", balance["received"], "")]
    rows += [(state, balance[state], _MEANINGS[state]) for state in _STATES]
    rows.append(("balance", balance["balance"], "must be 0"))
    printing.print_table("What the gateway has", ("", "conversions", ""), rows)
    refusals = _refusals(story)
    printing.print_table(
        "Why rows were rejected, by the gateway or by twite send before it",
        ("code", "rows", ""),
        [(code, many, _REASONS.get(code, "")) for code, many in refusals.most_common()],
    )
    printing.print_table(
        "What X has",
        ("", "", ""),
        [
            ("requests", counted.requests, counted.answers),
            ("received by API", counted.by_api, f"{counted.again} of them a second time"),
            ("received by pixel", counted.by_pixel, "the buyers' browsers"),
            ("counted", counted.counted, "each once"),
            (
                "dropped as twins",
                counted.dropped,
                "of pixel and API; of resends, as assumed of X",
            ),
        ],
    )
    _print_history(cast, counted)
    printing.say("")
    printing.say(printing.styled("Deduplication report", "bold"), " twite dedup --days 1")
    cast.twite("dedup", "--days", "1")
    return _judge(balance, counted, cast.overlap(), story)


class _Tally(msgspec.Struct, frozen=True):
    api: int
    pixel: int
    counted: int


class _Event(msgspec.Struct, frozen=True):
    received_api: int
    received_pixel: int
    counted: int
    deduplicated: int
    ids: dict[str, _Tally]


class _Pixel(msgspec.Struct, frozen=True):
    events: dict[str, _Event]


class _Counted(msgspec.Struct, frozen=True):
    pixels: dict[str, _Pixel]


class _Received(msgspec.Struct, frozen=True):
    requests: int
    answers: dict[str, int]


class EmulatorCounts:
    """What the emulator received and counted, added up."""

    def __init__(self, cast: DemoProcesses) -> None:
        pixels = msgspec.convert(cast.x.counted(), _Counted).pixels
        events = pixels[PIXEL].events.values()
        received = msgspec.convert(cast.x.received(), _Received)
        self.by_api = sum(event.received_api for event in events)
        self.by_pixel = sum(event.received_pixel for event in events)
        self.counted = sum(event.counted for event in events)
        self.dropped = sum(event.deduplicated for event in events)
        self.ids = {id_: tally for event in events for id_, tally in event.ids.items()}
        self.again = sum(max(0, tally.api - 1) for tally in self.ids.values())
        self.requests = received.requests
        self.answers = ", ".join(
            f"{many} answered {status}" for status, many in sorted(received.answers.items())
        )


def _refusals(story: DemoStory) -> Counter[str]:
    """Return how many rows were refused for what, from the report that `twite send` wrote.

    A row without any identifier has a line for each one that was lost: it counts once.
    """
    rows: dict[str, list[str]] = {}
    with story.report.open(encoding="utf-8-sig", newline="") as file:
        for line in csv.DictReader(file):
            if line["verdict"] == "rejected":
                rows.setdefault(line["row"], []).append(line["code"])
    nothing = "identifier_missing"
    return Counter(nothing if nothing in codes else codes[0] for codes in rows.values())


def _print_history(cast: DemoProcesses, counted: EmulatorCounts) -> None:
    """Show the life of one whose answer was lost."""
    again = next((id_ for id_, tally in counted.ids.items() if tally.api > 1), None)
    if again is not None:
        printing.say(printing.styled("One whose answer was lost", "bold"), f": twite show {again}")
        cast.twite("show", again)


def _judge(
    balance: dict[str, int], counted: EmulatorCounts, overlap: dict[str, int], story: DemoStory
) -> bool:
    """Say whether gateway and X agree, conversion by conversion."""
    once = [id_ for id_, tally in counted.ids.items() if tally.counted == 1]
    sent = [id_ for id_, tally in counted.ids.items() if tally.api]
    checks = (
        ("every conversion is accounted for: the balance is 0", balance["balance"] == 0),
        ("nothing is pending", story.drained),
        ("X received what the gateway reports as delivered", len(sent) == balance["delivered"]),
        ("X counted each of them once", len(once) == len(counted.ids)),
        ("the pixel's copies were dropped", counted.by_pixel == len(story.bought.fired)),
        (
            "page and server used the same id",
            overlap["page_and_server"] == len(story.bought.orders),
        ),
        (
            "orders under two ids were found",
            overlap["two_ids"] == len(story.bought.renamed),
        ),
    )
    printing.say("")
    for claim, holds in checks:
        mark = printing.styled("yes", "green") if holds else printing.styled("NO ", "bold red")
        printing.say("  ", mark, "  ", claim)
    return all(holds for _, holds in checks)
