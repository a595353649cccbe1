"""Options that several commands share, and functions that read them."""

import getpass
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final, TypeVar

import typer
from typer.core import TyperGroup

from twite.cli import CONFIG_VARIABLE
from twite.config import settings
from twite.config.settings import FILE, Settings
from twite.domain.fault import Fault
from twite.domain.times import DAY, time_limit
from twite.machine.system import SystemClock

DEFAULT_CONFIG = FILE
_DEFAULT_SPAN: Final = 7 * DAY
Command = TypeVar("Command", bound=Callable[..., None])


def option(flag: str, metavar: str, sentence: str) -> Any:  # noqa: ANN401  # as typer.Option
    """Return an option with a value, whose default is not shown."""
    return typer.Option(flag, metavar=metavar, help=sentence, show_default=False)


Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", metavar="PATH", envvar=CONFIG_VARIABLE, help="The settings file"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
Pixel = Annotated[str | None, option("--pixel", "ID", "Only this pixel")]
EventPairs = Annotated[
    list[str] | None, option("--event", "NAME=ID", "Your name for an event, and X's id; repeatable")
]

Since = Annotated[
    str | None, option("--since", "TIME", "From this day or time on; default: the last seven days")
]
Until = Annotated[str | None, option("--until", "TIME", "Before this day or time; default: now")]


class ListedByDefault(TyperGroup):
    """A group that runs `list` without a subcommand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # click's context
        if not {*args[:1]} & {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def prints(*types: Any) -> Callable[[Command], Command]:  # noqa: ANN401  # types, also unions
    """Declare what a command prints with `--json`: one JSON document of one of these types.

    The types are msgspec structs, or lists of them. `docs/reference/commands.schema.json` has
    their schemas, and `tests/cli/test_json_of_commands.py` compares them with the output.
    """

    def declared(command: Command) -> Command:
        command.json_types = types  # type: ignore[attr-defined]  # read by the schemas' generator
        return command

    return declared


def load(config: Path, *, credentials: bool = False) -> Settings:
    """Read the settings with this process's environment, by default without the credentials.

    Raises SettingsError.
    """
    return settings.load(config, os.environ, credentials=credentials)


def known_pixel(settings: Settings, pixel: str | None) -> None:
    """Reject a pixel that is not configured, as a usage error."""
    if pixel is not None and not settings.has_destination(pixel):
        there = ", ".join(settings.destination_names()) or "none"
        raise typer.BadParameter(
            f"no such pixel in {settings.path}. Available: {there}", param_hint="--pixel"
        )


def one_pixel(settings: Settings, pixel: str | None) -> str:
    """Return the named pixel. Without a name, return the only configured pixel."""
    known = [destination.pixel for destination in settings.destinations()]
    if pixel is None and len(known) != 1:
        raise typer.BadParameter(
            f"name a pixel with --pixel. Available: {', '.join(known) or 'none'}",
            param_hint="--pixel",
        )
    known_pixel(settings, pixel)
    return known[0] if pixel is None else pixel


def event_pairs(events: list[str]) -> dict[str, str]:
    """Read `--event NAME=ID`. Raises BadParameter."""
    pairs: dict[str, str] = {}
    for pair in events:
        name, equals, event = pair.partition("=")
        if not (name and equals and event):
            raise typer.BadParameter(
                f"{pair!r} is not of the form NAME=ID, such as purchase=o8z6k", param_hint="--event"
            )
        pairs[name] = event
    return pairs


def who() -> str:
    """Return the user of this machine, for the audit log."""
    try:
        return f"{getpass.getuser()} (command)"
    except (OSError, KeyError):
        return "(command)"


def time_given(option: str, given: str | None, now: int) -> int | None:
    """Read the value of an option as `time_limit` does, in milliseconds.

    Raises BadParameter for other text, and for a time more than a day after `now`.
    """
    if given is None:
        return None
    read = time_limit(given, now=now, path=option)
    if isinstance(read, Fault):
        raise typer.BadParameter(read.message, param_hint=option)
    return read


def past_range(since: str | None, until: str | None) -> tuple[int, int]:
    """Read `--since` and `--until`, in milliseconds. Raises BadParameter."""
    now = SystemClock().now()
    began = time_given("--since", since, now)
    began = now - _DEFAULT_SPAN if began is None else began
    ended = time_given("--until", until, now)
    ended = now + 1 if ended is None else ended
    if began >= ended:
        raise typer.BadParameter("the range ends before it begins", param_hint="--until")
    return began, ended


def interrupt_on(*signals: signal.Signals) -> None:
    """Let signals raise KeyboardInterrupt, so that the command ends its processes as on Ctrl-C."""
    for number in signals:
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
