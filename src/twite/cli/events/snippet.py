"""`twite events snippet`: calls for an event, ready to be copied."""

import sys
from typing import Annotated, Final

import typer

from twite.app.logins import events_manager
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, load, one_pixel
from twite.gateway.x_account.snippets import MAKERS

HELP: Final = """Print code that sends an event: for pages, servers and Google's server tag.

With `--for`, print only one snippet, to be written to a file.

Example: `twite events snippet purchase --for python`"""

Ours = Annotated[str, typer.Argument(metavar="EVENT", help="Your name for the event")]
For = Annotated[
    str | None,
    typer.Option("--for", metavar="KIND", help=f"One of {', '.join(MAKERS)}", show_default=False),
]
ServerOnly = Annotated[bool, typer.Option("--server-only", help="Only snippets for servers")]


def snippet(
    event: Ours,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    kind: For = None,
    server_only: ServerOnly = False,
    as_json: Json = False,
) -> None:
    if kind is not None and kind not in MAKERS:
        raise typer.BadParameter(f"there is {', '.join(MAKERS)}", param_hint="--for")
    found = load(config, credentials=False)
    pixels = {destination.pixel: destination for destination in found.destinations()}
    manager = events_manager(found, pixels)
    made = manager.snippets(one_pixel(found, pixel), event, server_only=server_only)
    shown = [snippet for snippet in made if kind in {None, snippet.kind}]
    if as_json:
        printing.print_json(shown)
    elif kind is not None:
        # To the letter: it is to be run, and holds nothing that came from outside.
        sys.stdout.write("".join(snippet.text for snippet in shown))
    else:
        for snippet in shown:
            printing.say(printing.styled(f"{snippet.title}: ", "bold"), snippet.says)
            for line in snippet.text.splitlines():
                printing.say(f"    {line}")
            printing.say("")
