"""`twite demo`: run everything on loopback, then compare the gateway's counts with X's."""

import csv
import re
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from twite.cli import printing
from twite.cli.demo.campaigns import OWN_CLICK
from twite.cli.demo.processes import PIXEL, DemoProcesses
from twite.cli.demo.story import DemoStory, play
from twite.cli.options import Json, interrupt_on, prints
from twite.domain.fault import CODES, ROW_CODES
from twite_emulator.process import counts_of

_RESERVED_HOST: Final = re.compile(r"(@(?:\w+\.)?example(?:\.(?:com|net|org))?)\b", re.IGNORECASE)

Stay = Annotated[
    bool, typer.Option("--stay", help="Keep running, and print what to open, with a sign-in link")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print each step and all tables")]
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
_REASONS: Final = {**CODES, **ROW_CODES}
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


class DemoClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim about the counts, and whether it holds."""

    claim: str
    holds: bool


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's counts by state, and the claims; `link` signs in, with --stay."""

    balance: dict[str, int]
    claims: tuple[DemoClaim, ...]
    link: str | None = None


@prints(DemoReport)
def demo(
    *,
    stay: Stay = False,
    orders: Orders = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Exit code 0 when the balance is zero and X counted each delivered conversion once.

    Example: `twite demo --stay`
    """
    # A closed terminal sends SIGHUP, which a gateway takes for a reload.
    interrupt_on(signal.SIGTERM, signal.SIGHUP)
    with (
        tempfile.TemporaryDirectory(prefix="twite-demo-") as folder,
        DemoProcesses(Path(folder)) as cast,
        _uninterrupted_end(),
    ):
        if not as_json:
            printing.say(
                printing.styled("Twite demo", "bold"),
                ": a gateway, an emulator of X and a small shop, all on this machine",
            )
        chosen = orders or with_mailboxes(example_orders(), Path(folder))
        with _steps(verbose=verbose and not as_json, quiet=as_json) as step:
            story = play(cast, chosen, step)
        outcome = DemoOutcome(cast, story)
        good = all(holds for _, holds in outcome.checks())
        if as_json:
            _print_json(outcome, stay=stay)
        else:
            _print(outcome, stay=stay, verbose=verbose)
    raise typer.Exit(0 if good else 1)


def _print(outcome: "DemoOutcome", *, stay: bool, verbose: bool) -> None:
    if verbose:
        print_tables(outcome)
    print_summary(outcome)
    printing.say("")
    if stay:
        _stay(outcome)
        return
    printing.say(
        "To look at these conversions in the console and to buy something in the shop: "
        "twite demo --stay"
    )
    printing.say("In a checkout: make demo ARGS=--stay. This demo has removed its files.")


def _print_json(outcome: "DemoOutcome", *, stay: bool) -> None:
    printing.print_json(
        DemoReport(
            balance={name: outcome.balance[name] for name in ("received", *_STATES, "balance")},
            claims=tuple(DemoClaim(claim=claim, holds=holds) for claim, holds in outcome.checks()),
            link=outcome.demo.add_user().link if stay else None,
        )
    )
    if stay:
        with suppress(KeyboardInterrupt):
            outcome.demo.wait()


@contextmanager
def _uninterrupted_end() -> Iterator[None]:
    """At the end of the block, ignore further signals: they would leave processes behind."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def _steps(*, verbose: bool, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Print each step, or show the present one on a terminal."""
    if verbose or quiet:
        yield printing.complain if quiet else printing.say
        return
    with Console().status("Starting") as status:
        yield status.update


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


def _stay(outcome: "DemoOutcome") -> None:
    """Print what to open, and wait for the end of the gateway or a signal."""
    demo = outcome.demo
    user = demo.add_user()
    console = f"{demo.gateway_url}/console"
    printing.say(
        printing.styled("Open this link", "bold"), ": it signs you in once, within 15 minutes"
    )
    printing.say(f"  {user.link}")
    printing.say("Then look at")
    for path, story in outcome.stories():
        printing.say(f"  {console}{path:<24}  {story}")
    printing.say(f"Buy something: {demo.shop.url}/?twclid={OWN_CLICK}")
    printing.say(f"What X counted: {demo.emulator.url}/_emulator/counted")
    printing.say(f"Commands: twite show ID --config {demo.config}")
    printing.say(f"Sign in later: user {user.name}, password {user.password}")
    printing.say("Press Ctrl-C to stop.")
    try:
        demo.wait()
    except KeyboardInterrupt:
        printing.say("")


def print_summary(outcome: "DemoOutcome") -> None:
    """Print the balance and the checks."""
    balance = outcome.balance
    states = ", ".join(f"{balance[state]} {state}" for state in _STATES if balance[state])
    printing.say("")
    printing.say(f"{balance['received']} conversions received: {states}")
    for claim, holds in outcome.checks():
        mark = printing.styled("yes", "green") if holds else printing.styled("NO ", "bold red")
        printing.say("  ", mark, "  ", claim)


def print_tables(outcome: "DemoOutcome") -> None:
    """Print what the console shows: balance, rejected rows, X's counts, a history, the report."""
    balance, counted, demo = outcome.balance, outcome.counted, outcome.demo
    printing.say("")
    rows: list[tuple[str, int, str]] = [("received", balance["received"], "")]
    rows += [(state, balance[state], _MEANINGS[state]) for state in _STATES]
    rows.append(("balance", balance["balance"], "must be 0"))
    printing.print_table(("", "conversions", ""), rows, title="Conversions at the gateway")
    printing.print_table(
        ("code", "rows", ""),
        [
            (code, many, _REASONS.get(code, ""))
            for code, many in _refusals(outcome.story).most_common()
        ],
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
    if outcome.resent is not None:
        demo.twite("show", outcome.resent)
    demo.twite("deduplication", "--days", "1")
    printing.say(demo.log())


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


class DemoOutcome:
    """The counts of the gateway and of X after the demo."""

    def __init__(self, demo: DemoProcesses, story: DemoStory) -> None:
        self.demo = demo
        self.story = story
        self.balance = demo.balance()
        self.counted = EmulatorCounts(demo)
        self.report = demo.deduplication()
        ids = self.counted.ids.items()
        # A conversion whose response was lost. Later ones are resent after bisects, too.
        self.resent = next((id_ for id_, tally in ids if tally.api > 1), None)

    def stories(self) -> Sequence[tuple[str, str]]:
        """Return the console's paths that show something, each with what there is to see."""
        balance, two_ids = self.balance, self.report["two_ids"]
        pages = (
            ("", balance["received"], "the balance and delivery times; within a minute, an alert"),
            (
                "/problems",
                balance["dead"] + balance["held"],
                (
                    f"{balance['dead']} orders that X refused, and {balance['held']} leads "
                    "held because X does not know the event"
                ),
            ),
            (
                "/problems?kind=rejected",
                balance["rejected"],
                f"{balance['rejected']} conversions that the gateway rejected, with reasons",
            ),
            ("/deduplication", two_ids, f"{two_ids} orders with two ids: X counts each twice"),
            (
                f"/conversions?id={self.resent}",
                self.resent is not None,
                "an order that was sent again, because X's response was lost",
            ),
            (
                "/results",
                balance["delivered"],
                "what two campaigns brought; within two minutes, the orders that X attributes",
            ),
        )
        return [(path, story) for path, has_some, story in pages if has_some]

    def checks(self) -> Sequence[tuple[str, bool]]:
        """Return whether the gateway's and X's counts agree, claim by claim."""
        balance, counts, story = self.balance, self.counted, self.story
        purchase = story.purchase
        once = [id_ for id_, tally in counts.ids.items() if tally.counted == 1]
        sent = [id_ for id_, tally in counts.ids.items() if tally.api]
        return (
            ("every conversion is accounted for: the balance is 0", balance["balance"] == 0),
            ("nothing is pending", story.drained),
            ("X received what the gateway reports as delivered", len(sent) == balance["delivered"]),
            ("X counted each conversion once", len(once) == len(counts.ids)),
            ("X dropped the pixel's copies", counts.by_pixel == len(purchase.fired)),
            ("X refused only the orders that it should", balance["dead"] == len(story.refused)),
            (
                "the page and the server used the same id",
                self.report["page_and_server"] == len(purchase.orders),
            ),
            ("orders with two ids were found", self.report["two_ids"] == len(purchase.renamed)),
        )
