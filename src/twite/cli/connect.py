"""`twite connect`: switch from the built-in emulator to X."""

import asyncio
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from twite.app.control_client import running
from twite.app.logins import connect_alone
from twite.cli import printing
from twite.cli.login import pasted_token
from twite.cli.options import (
    DEFAULT_CONFIG,
    Config,
    EventPairs,
    Json,
    event_pairs,
    load,
    option,
    prints,
    who,
)
from twite.config import settings
from twite.config.settings import Settings
from twite.config.switch_to_x import switched_to_x
from twite.domain.destination import PixelToken
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.machine.private_file import replace_file

_WHERE: Final = "X's Events Manager"

PixelId = Annotated[str | None, option("--pixel", "ID", f"The pixel's id, from {_WHERE}")]


class SwitchedToX(msgspec.Struct, frozen=True, kw_only=True):
    """The changed settings file, its pixel and store.

    `restart` says that a gateway still sends to the emulator.
    """

    config: str
    pixel: str
    store: str
    restart: bool


@prints(SwitchedToX)
def connect(
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: PixelId = None,
    event: EventPairs = None,
    as_json: Json = False,
) -> None:
    """Asks for the ids of your pixel and events, and for the pixel token.

    X checks the token with a request that contains no conversion. If X accepts it, Twite stores it
    encrypted, and changes the settings file. Otherwise nothing changes. Without a terminal,
    pass the ids as options and the token on standard input.

    Example: `twite connect --pixel o8z6j --event purchase=o8z6k`
    """
    found = load(config, credentials=True)
    if found.x.emulator is None:
        raise SettingsError(
            str(config), "already sends to X. Use twite login to change the credentials of a pixel"
        )
    if len(found.destinations()) != 1:
        raise SettingsError(
            str(config),
            "does not have exactly one [[pixel]]. Remove x.emulator and correct the ids by "
            "hand, and store each token with twite login --pixel-token",
        )
    (old,) = found.destinations()
    chosen = pixel or _asked("Pixel id", option="--pixel")
    text = switched_to_x(
        config.read_text(encoding="utf-8"),
        path=config,
        old_pixel=old.pixel,
        pixel=chosen,
        events=event_pairs(event or []) or _asked_events(old.events),
    )
    draft = config.with_name(f".{config.name}.connect")
    try:
        replace_file(draft, text.encode())
        switched = settings.load(draft, os.environ)
        token = PixelToken(token=Secret(pasted_token(as_json=as_json)))
        checked = asyncio.run(connect_alone(switched, by=who()).paste(chosen, token)).access
        if checked is None:
            raise SettingsError(
                str(config),
                f"is unchanged, because {switched.x.api_url} did not answer the check of "
                "the token. Check the connection to X, and run the command again",
            )
        replace_file(config, text.encode(), mode=config.stat().st_mode & 0o777)
    finally:
        draft.unlink(missing_ok=True)
    _print_result(found, switched, config, chosen, as_json=as_json)


def _asked_events(names: Iterable[str]) -> dict[str, str]:
    question = "X's id of the event {} (empty: leave it out)"
    asked = {name: _asked(question.format(name), option="--event", default="") for name in names}
    return {name: event for name, event in asked.items() if event}


def _asked(question: str, *, option: str, default: str | None = None) -> str:
    """Ask for an id on the terminal. Raises BadParameter if there is none."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"is missing; copy it from {_WHERE}", param_hint=option)
    answer: str = typer.prompt(question, default=default, show_default=False, err=True)
    return answer.strip()


def _print_result(
    old_settings: Settings, new_settings: Settings, config: Path, pixel: str, *, as_json: bool
) -> None:
    gateway = running(old_settings.store.gateway_file)
    if as_json:
        printing.print_json(
            SwitchedToX(
                config=str(config),
                pixel=pixel,
                store=new_settings.store.shown,
                restart=gateway is not None,
            )
        )
        return
    printing.say(f"X did not refuse the token. {config} now sends pixel {pixel} to X.")
    printing.say(f"  store     {new_settings.store.shown} (before: {old_settings.store.shown})")
    if gateway is not None:
        printing.say(f"  restart   the gateway (process {gateway.pid}) still sends to the emulator")
    printing.say("Next: run twite check, and twite check --canary EVENT for one real conversion.")
