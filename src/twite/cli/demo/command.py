"""`twite demo`: run everything on loopback, then compare the gateway's counts with X's."""

import csv
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from twite.cli import printing
from twite.cli.demo.processes import PIXEL, DemoProcesses
from twite.cli.demo.story import DemoStory, play
from twite.cli.options import interrupt_on_sigterm
from twite.domain.fault import CODES
from twite.formats.files import findings
from twite_emulator.process import counts_of

_RESERVED_HOST: Final = re.compile(r"(@(?:\w+\.)?example(?:\.(?:com|net|org))?)\b", re.IGNORECASE)

Stay = Annotated[
    bool, typer.Option("--stay", help="Keep running, and print the addresses and a login")
]
Orders = Annotated[
    Path | None,
    typer.Option(
        "--orders",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="A file of orders to send instead, with the same columns",
    ),
]
# The gateway and `twite send` reject rows with different error codes.
_REASONS: Final = {**CODES, **findings.ERRORS}
_STATES: Final = ("delivered", "duplicate", "suppressed", "rejected", "dead", "held", "pending")
_MEANINGS: Final = {
    "delivered": "accepted by X",
    "duplicate": "the same conversion again; not sent",
    "suppressed": "deliberately not sent",
    "rejected": "rejected at intake, with a reason",
    "dead": "refused by X; not retried",
    "held": "waiting for your decision",
    "pending": "waiting to be sent",
}


def demo(*, stay: Stay = False, orders: Orders = None) -> None:
    """Exit code 0 when the balance is zero and X counted each delivered conversion once.

    Example: `twite demo --stay`
    """
    interrupt_on_sigterm()
    with (
        tempfile.TemporaryDirectory(prefix="twite-demo-") as folder,
        DemoProcesses(Path(folder)) as cast,
    ):
        printing.say(printing.styled("Twite demo", "bold"), ": all parts run on loopback")
        printing.say("")
        chosen = orders or with_mailboxes(example_orders(), Path(folder))
        story: DemoStory = play(cast, chosen)
        good = print_summary(cast, story)
        if stay:
            _stay(cast)
        else:
            printing.say("")
            printing.say(
                "The demo has ended and its files have been deleted. Use --stay to keep it running."
            )
    raise typer.Exit(0 if good else 1)


def example_orders() -> Path:
    """Return the path of the example orders, in the package or in the source tree."""
    for folder in (Path(__file__).parents[1], Path(__file__).parents[4] / "examples"):
        file = folder / "orders.csv"
        if file.exists():
            return file
    raise typer.BadParameter(
        "this installation contains no example orders. Pass a file of orders",
        param_hint="--orders",
    )


def with_mailboxes(orders: Path, folder: Path) -> Path:
    """Copy the example orders, with email addresses that Twite does not treat as placeholders.

    The example file uses domains of RFC 2606, which Twite treats as placeholders. The copies use
    `.internal`, which ICANN reserves for private use (resolution 2024.07.29.06): no person has such
    an address.
    """
    copy = folder / orders.name
    text = orders.read_text(encoding="utf-8-sig")
    copy.write_text(_RESERVED_HOST.sub(r"\1.internal", text), encoding="utf-8")
    return copy


def _stay(demo: DemoProcesses) -> None:
    name, password = demo.add_user()
    printing.say("")
    printing.say(printing.styled("The console", "bold"), f": {demo.gateway_url}/console")
    printing.say(f"  sign in as     user {name}, password {password}")
    printing.say("")
    printing.say(f"The gateway is still running: {demo.gateway_url}")
    printing.say(f"Buy something in a browser: {demo.shop.url}/?twclid=2-demo3k9x0abcd1efgh2ijkl3")
    printing.say(f"  then see the deduplication report: {demo.shop.url}/deduplication")
    printing.say(f"  settings       {demo.config}")
    printing.say(f"  try            twite show ID --config {demo.config}")
    printing.say(f"                 twite rejected --config {demo.config}")
    printing.say(
        f"X emulator: {demo.emulator.url}; conversions: {demo.emulator.url}/_emulator/counted"
    )
    printing.say("Press Ctrl-C to stop.")
    try:
        demo.wait()
    except KeyboardInterrupt:
        printing.say("")


def print_summary(demo: DemoProcesses, story: DemoStory) -> bool:
    """Print the final tables; return whether all counts agree."""
    balance = demo.balance()
    counted = EmulatorCounts(demo)
    printing.say("")
    rows: list[tuple[str, int, str]] = [("received", balance["received"], "")]
    rows += [(state, balance[state], _MEANINGS[state]) for state in _STATES]
    rows.append(("balance", balance["balance"], "must be 0"))
    printing.print_table(("", "conversions", ""), rows, title="Conversions at the gateway")
    printing.print_table(
        ("code", "rows", ""),
        [(code, many, _REASONS.get(code, "")) for code, many in _refusals(story).most_common()],
        title="Rejected rows by reason (gateway and twite send)",
    )
    printing.print_table(
        ("", "", ""),
        [
            ("requests", counted.requests, counted.answers),
            ("received by API", counted.by_api, f"{counted.again} of them resent"),
            ("received by pixel", counted.by_pixel, "sent by the buyers' browsers"),
            ("counted", counted.counted, "each once"),
            (
                "dropped as duplicates",
                counted.dropped,
                "copies from pixel and API, and resends (assumes that X drops these)",
            ),
        ],
        title="Conversions at X",
    )
    _print_history(demo, counted)
    printing.say("")
    printing.say(printing.styled("Deduplication report", "bold"), " twite deduplication --days 1")
    demo.twite("deduplication", "--days", "1")
    return _judge(balance, counted, demo.deduplication(), story)


class _Received(msgspec.Struct, frozen=True):
    requests: int
    answers: dict[str, int]


class EmulatorCounts:
    """Totals of what the emulator received and counted."""

    def __init__(self, demo: DemoProcesses) -> None:
        events = counts_of(demo.emulator, PIXEL).values()
        received = msgspec.convert(demo.emulator.received(), _Received)
        self.by_api = sum(event.received_api for event in events)
        self.by_pixel = sum(event.received_pixel for event in events)
        self.counted = sum(event.counted for event in events)
        self.dropped = sum(event.deduplicated for event in events)
        self.ids = {id_: tally for event in events for id_, tally in event.ids.items()}
        self.again = sum(max(0, tally.api - 1) for tally in self.ids.values())
        self.requests = received.requests
        self.answers = ", ".join(
            f"{many} without a response" if status == "none" else f"{many} with status {status}"
            for status, many in sorted(received.answers.items())
        )


def _refusals(story: DemoStory) -> Counter[str]:
    """Return the number of rejected rows by error code, from the report of `twite send`.

    A row without a valid identifier has one line for each invalid identifier, but counts once.
    """
    rows: dict[str, list[str]] = {}
    with story.report.open(encoding="utf-8-sig", newline="") as file:
        for line in csv.DictReader(file):
            if line["verdict"] == "rejected":
                rows.setdefault(line["row"], []).append(line["code"])
    nothing = "identifier_missing"
    return Counter(nothing if nothing in codes else codes[0] for codes in rows.values())


def _print_history(demo: DemoProcesses, counts: EmulatorCounts) -> None:
    """Show the history of a conversion whose response was lost."""
    again = next((id_ for id_, tally in counts.ids.items() if tally.api > 1), None)
    if again is not None:
        printing.say(
            printing.styled("A conversion whose response was lost", "bold"), f": twite show {again}"
        )
        demo.twite("show", again)


def _judge(
    balance: dict[str, int],
    counts: EmulatorCounts,
    report: dict[str, int],
    story: DemoStory,
) -> bool:
    """Print whether the gateway's and X's counts agree; return True if all do."""
    once = [id_ for id_, tally in counts.ids.items() if tally.counted == 1]
    sent = [id_ for id_, tally in counts.ids.items() if tally.api]
    checks = (
        ("every conversion is accounted for: the balance is 0", balance["balance"] == 0),
        ("nothing is pending", story.drained),
        ("X received what the gateway reports as delivered", len(sent) == balance["delivered"]),
        ("X counted each conversion once", len(once) == len(counts.ids)),
        ("X dropped the pixel's copies", counts.by_pixel == len(story.purchase.fired)),
        (
            "the page and the server used the same id",
            report["page_and_server"] == len(story.purchase.orders),
        ),
        (
            "orders with two ids were found",
            report["two_ids"] == len(story.purchase.renamed),
        ),
    )
    printing.say("")
    for claim, holds in checks:
        mark = printing.styled("yes", "green") if holds else printing.styled("NO ", "bold red")
        printing.say("  ", mark, "  ", claim)
    return all(holds for _, holds in checks)
