"""`twite serve`: run the gateway."""

import os
from functools import partial
from typing import Annotated, Final, Literal

import typer

from twite.app.serving import serve as run
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, text
from twite.config.settings import Settings
from twite.diagnostics import examine
from twite.domain.errors import SettingsError

EXAMPLE: Final = "Example: `twite serve --config /etc/twite/twite.toml`"

Role = Annotated[
    Literal["all", "collector", "sender"],
    typer.Option("--role", help="The role to run; a SQLite store needs all roles in one process"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", help=text("serve", serve, EXAMPLE))(serve)


def serve(*, config: Config = DEFAULT_CONFIG, role: Role = "all", as_json: Json = False) -> None:
    """On SIGTERM, SIGINT or SIGHUP, in-flight requests finish before shutdown."""
    if role != "all":
        raise SettingsError(
            place="--role",
            message=f"{role!r} needs a store that several processes can share, but only one "
            f"process can own a SQLite file. Remove --role",
        )
    settings = load(config)
    for warning in settings.warnings:
        printing.complain(f"Warning: {warning}.")
    landed = run(
        settings,
        ready=lambda url: _announce(settings, url, as_json=as_json),
        examine=partial(examine, settings.path, os.environ),
    )
    if not landed:
        printing.complain(
            "Some requests to X were interrupted; they are resent with the same ids after the next "
            "start."
        )
    if not as_json:
        printing.say("Stopped.")


def _announce(settings: Settings, url: str, *, as_json: bool) -> None:
    if as_json:
        printing.print_json_line(
            {"url": url, "public_url": settings.server.public_url, "pid": os.getpid()}
        )
        return
    pixels = ", ".join(pixel.pixel for pixel in settings.destinations()) or "none"
    printing.say(f"Twite listens on {url}")
    if settings.server.public_url is not None:
        printing.say(f"  seen as   {settings.server.public_url}")
    printing.say(f"  store     {settings.store.path}")
    printing.say(f"  sends to  {settings.x.api_url}, pixels: {pixels}")
    printing.say("  stops     on Ctrl-C or SIGTERM, after in-flight requests have finished")
