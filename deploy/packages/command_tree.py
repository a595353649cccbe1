"""Read the commands and their options from the Typer application."""

import inspect
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typer.main import get_command

from twite.cli.application import ABOUT, application
from twite.cli.groups import GROUPS


@dataclass(frozen=True, kw_only=True)
class CommandOption:
    """An option, or an argument if `names` has no hyphens.

    `value` is what follows it, such as PATH; "" for a switch.
    """

    names: tuple[str, ...]
    help: str
    value: str
    choices: tuple[str, ...]
    is_file: bool

    @property
    def is_argument(self) -> bool:
        return not self.names[0].startswith("-")


@dataclass(frozen=True, kw_only=True)
class CommandNode:
    """A command. The first paragraph of `help` is its summary."""

    name: str
    group: str = ""
    help: str
    options: tuple[CommandOption, ...] = ()
    below: tuple["CommandNode", ...] = ()

    @property
    def summary(self) -> str:
        return self.help.split("\n\n")[0].replace("\n", " ").rstrip(".")


def command_tree() -> CommandNode:
    """Return `twite` with all its commands."""
    root = get_command(application(None))
    commands = [
        _node(name, get_command(application(name)).commands[name], group)
        for group, names in GROUPS.items()
        for name in names
    ]
    return CommandNode(
        name="twite", help=ABOUT, options=_options(root.params), below=tuple(commands)
    )


def _node(name: str, command: Any, group: str = "") -> CommandNode:
    below = getattr(command, "commands", {})
    return CommandNode(
        name=name,
        group=group,
        help=inspect.cleandoc(command.help or ""),
        options=_options(command.params),
        below=tuple(_node(known, found) for known, found in below.items()),
    )


def _options(params: list[Any]) -> tuple[CommandOption, ...]:
    found = [_option(param) for param in params if not param.hidden]
    shown = CommandOption(
        names=("--help", "-h"), help="Show help and exit", value="", choices=(), is_file=False
    )
    return (*found, shown)


def _option(param: Any) -> CommandOption:
    annotation = param.type_descriptor.annotation
    kind, *_ = get_args(annotation) or (annotation,)
    choices = _choices(annotation, kind)
    is_flag = getattr(param, "is_flag", False)
    value = param.metavar or ("|".join(choices) if choices else param.name.upper())
    return CommandOption(
        names=(*param.opts, *param.secondary_opts),
        help=(param.help or "").replace("\n", " "),
        value="" if is_flag else value,
        choices=choices,
        is_file=kind is Path,
    )


def _choices(annotation: object, kind: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(choice.value for choice in kind)
    return ()
