"""Write the man pages: twite(1), and one page for each command."""

import re
from datetime import UTC, datetime
from pathlib import Path

from command_tree import CommandNode, CommandOption
from source import Source

_CODE = re.compile(r"`([^`]*)`")


def write_man_pages(tree: CommandNode, folder: Path, source: Source) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"twite": _main_page(tree)}
    pages |= {f"twite-{command.name}": _command_page(command) for command in tree.below}
    day = datetime.fromtimestamp(source.epoch, UTC).date().isoformat()
    for name, lines in pages.items():
        head = f'.TH {name.upper()} 1 {day} "Twite {source.version}" "User Commands"'
        folder.joinpath(f"{name}.1").write_text("\n".join((head, *lines, "")), "utf-8")


def _main_page(tree: CommandNode) -> list[str]:
    lines = [".SH NAME", f"twite \\- {_text(tree.summary)}", ".SH SYNOPSIS"]
    lines += [".B twite", "[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARGUMENT\\fR]..."]
    lines += [".SH DESCRIPTION", *_paragraphs(tree.help), ".SH OPTIONS", *_options(tree)]
    lines.append(".SH COMMANDS")
    for group in dict.fromkeys(command.group for command in tree.below):
        lines.append(f'.SS "{group}"')
        for command in tree.below:
            if command.group == group:
                lines += [".TP", f"\\fBtwite\\-{_text(command.name)}\\fR(1)", command.summary]
    lines += [
        ".SH FILES",
        ".TP",
        ".I twite.toml",
        "The settings; \\-\\-config selects another file.",
    ]
    lines += [".TP", ".I /etc/twite/twite.toml", "The settings of the service twite.service."]
    return [*lines, *_END]


def _command_page(command: CommandNode) -> list[str]:
    lines = [".SH NAME", f"twite\\-{_text(command.name)} \\- {_text(command.summary)}"]
    lines += [".SH SYNOPSIS"]
    if command.below:
        lines += [f".B twite {_text(command.name)}", "\\fICOMMAND\\fR [\\fIARGUMENT\\fR]..."]
    else:
        lines += _synopsis(command, f"twite {command.name}")
    lines += [".SH DESCRIPTION", *_paragraphs(command.help)]
    for below in command.below:
        name = f"{command.name} {below.name}"
        lines += [f'.SS "twite {_text(name)}"', *_synopsis(below, f"twite {name}"), ".PP"]
        lines += [*_paragraphs(below.help), *_options(below)]
    if not command.below:
        lines += [".SH OPTIONS", *_options(command)]
    return [*lines, ".SH SEE ALSO", ".BR twite (1)", *_END]


def _synopsis(command: CommandNode, name: str) -> list[str]:
    arguments = [option.value for option in command.options if option.is_argument]
    shown = "".join(f" \\fI{_text(argument)}\\fR" for argument in arguments)
    return [f".B {_text(name)}", f"[\\fIOPTION\\fR]...{shown}"]


def _options(command: CommandNode) -> list[str]:
    lines = []
    for option in command.options:
        lines += [".TP", _names(option), _text(option.help) or "\\&"]
    return lines


def _names(option: CommandOption) -> str:
    value = f" \\fI{_text(option.value)}\\fR" if option.value else ""
    if option.is_argument:
        return value.strip()
    return ", ".join(f"\\fB{_text(name)}\\fR" for name in option.names) + value


def _paragraphs(text: str) -> list[str]:
    lines = []
    for paragraph in text.split("\n\n"):
        lines += [".PP", _CODE.sub(r"\\fB\1\\fR", _text(" ".join(paragraph.split())))]
    return lines


def _text(text: str) -> str:
    """Escape what roff would interpret, and keep hyphens that a reader may copy."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


_END = (
    ".SH EXIT STATUS",
    "0 success, 1 failure with the reason on standard error, 2 wrong usage, 130 interrupted.",
)
