"""`twite demo`: everything on loopback, told as it happens."""

import re
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from twite.cli import COMMANDS, printing
from twite.cli.demo.processes import DemoProcesses
from twite.cli.demo.story import DemoStory, play
from twite.cli.demo.summary import tell_the_end

EXAMPLE: Final = "Example: `twite demo --stay`"
_RESERVED_HOST: Final = re.compile(r"(@(?:\w+\.)?example(?:\.(?:com|net|org))?)\b", re.IGNORECASE)

Stay = Annotated[bool, typer.Option("--stay", help="Keep running; print the addresses and a user")]
Orders = Annotated[
    Path | None,
    typer.Option(
        "--orders",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Other orders, with the same columns",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", help=f"{COMMANDS['demo']}\n\n{EXAMPLE}")(demo)


def demo(*, stay: Stay = False, orders: Orders = None) -> None:
    """Exit code 0 when the balance is zero and X counted each delivered conversion once."""
    with (
        tempfile.TemporaryDirectory(prefix="twite-demo-") as folder,
        DemoProcesses(Path(folder)) as cast,
    ):
        printing.say(printing.styled("Twite demo", "bold"), ": all of it on loopback")
        printing.say("")
        chosen = orders or with_mailboxes(example_orders(), Path(folder))
        story: DemoStory = play(cast, chosen)
        good = tell_the_end(cast, story)
        if stay:
            _stay(cast)
        else:
            printing.say("")
            printing.say("Its files are gone now, too. With --stay it keeps running.")
    raise typer.Exit(0 if good else 1)


def example_orders() -> Path:
    """Return the project's own orders: in the package, or beside the source."""
    for folder in (Path(__file__).parents[1], Path(__file__).parents[4] / "examples"):
        file = folder / "orders.csv"
        if file.exists():
            return file
    raise typer.BadParameter(
        "this installation has no example orders. Name a file of your own",
        param_hint="--orders",
    )


def with_mailboxes(orders: Path, folder: Path) -> Path:
    """Copy the example's orders, with addresses that could be somebody's.

    The example's own are of RFC 2606, where no mail is delivered: they count as placeholders, which
    match nobody, as they should wherever else the file is sent. ICANN keeps `.internal` for private
    use (resolution 2024.07.29.06), so that the copies are nobody's, either.
    """
    copy = folder / orders.name
    text = orders.read_text(encoding="utf-8-sig")
    copy.write_text(_RESERVED_HOST.sub(r"\1.internal", text), encoding="utf-8")
    return copy


def _stay(cast: DemoProcesses) -> None:
    name, password = cast.add_user()
    printing.say("")
    printing.say(printing.styled("The console", "bold"), f": {cast.gateway_url}/console")
    printing.say(f"  sign in as     user {name}, password {password}")
    printing.say("")
    printing.say(f"Still running. The gateway: {cast.gateway_url}")
    printing.say(f"Buy something, in a browser: {cast.shop.url}/?twclid=2-demo3k9x0abcd1efgh2ijkl3")
    printing.say(f"  and see the deduplication report: {cast.shop.url}/overlap")
    printing.say(f"  its settings   {cast.config}")
    printing.say(f"  try            twite show ID --config {cast.config}")
    printing.say(f"                 twite rejected --config {cast.config}")
    printing.say(f"X is emulated on {cast.x.url}; what it received: {cast.x.url}/_emulator/counted")
    printing.say("Ctrl-C ends it.")
    try:
        cast.wait()
    except KeyboardInterrupt:
        printing.say("")
