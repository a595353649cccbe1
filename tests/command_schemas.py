"""The commands, and the JSON schemas of what they print with `--json`.

`make generate` writes `docs/reference/commands.schema.json`.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import msgspec
from typer.main import get_command

from twite.cli.application import application
from twite.cli.groups import SUMMARIES

FILE: Final = Path(__file__).parents[1] / "docs/reference/commands.schema.json"
_REFERENCE: Final = "#/$defs/{name}"


@cache
def commands() -> dict[str, Any]:
    """Return the click command of each command and subcommand, by its words."""
    return {
        words: command
        for name in SUMMARIES
        for words, command in _leaves(get_command(application(name)).commands[name], name)
    }


def _leaves(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    for name, subcommand in below.items():
        yield from _leaves(subcommand, f"{words} {name}")
    if not below:
        yield words, command


def json_types(command: Any) -> tuple[Any, ...]:
    """Return the types that `prints` declares."""
    return getattr(command.callback, "json_types", ())


@cache
def document() -> dict[str, Any]:
    """Return the schemas of all commands, by their words in `commands`."""
    found = {words: json_types(command) for words, command in commands().items()}
    declared = {words: types for words, types in found.items() if types}
    flat = [type_ for types in declared.values() for type_ in types]
    schemas, definitions = msgspec.json.schema_components(
        flat, schema_hook=_schema_of, ref_template=_REFERENCE
    )
    rest = iter(schemas)
    outputs = {words: [next(rest) for _ in types] for words, types in declared.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What Twite's commands print with --json",
        "commands": {
            words: each[0] if len(each) == 1 else {"anyOf": each} for words, each in outputs.items()
        },
        "$defs": {name: _cleaned(schema) for name, schema in sorted(definitions.items())},
    }


def _cleaned(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove the indentation of docstrings."""
    if "description" not in schema:
        return schema
    return {**schema, "description": cleandoc(schema["description"])}


def rendered() -> bytes:
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


def require_schema(arguments: Sequence[str], output: str) -> None:
    """Fail if a command with `--json` printed what its schema does not allow."""
    if "--json" in arguments and "--help" not in arguments and output:
        assert problems(command_of(arguments), output) == []


def problems(words: str, output: str) -> list[str]:
    """Return how an output differs from the schema of a command. Undeclared keys count, too."""
    schema = document()
    strict = {"$defs": _closed(schema["$defs"]), **schema["commands"][words]}
    validator = jsonschema_rs.validator_for(strict)
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for printed in documents(output)
        for error in validator.iter_errors(printed)
    ]


def documents(output: str) -> list[Any]:
    """Return the JSON documents of an output."""
    decoder, rest, found = json.JSONDecoder(), output.strip(), []
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    return found


def command_of(arguments: Sequence[str]) -> str:
    """Return the words of the command that arguments name; "" if none."""
    words = " ".join(arguments[:2])
    name = arguments[0] if arguments else ""
    if words in commands() or name in commands():
        return words if words in commands() else name
    listed, run = f"{name} list", f"{name} run"
    return listed if listed in commands() and name in {"dead", "alerts"} else run * (name == "sync")


def _closed(definitions: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {**schema, "additionalProperties": False} if "properties" in schema else schema
        for name, schema in definitions.items()
    }


def _schema_of(type_: type) -> dict[str, Any]:
    """Return the schema of `object`: any JSON."""
    if type_ is object:
        return {"description": "any JSON"}
    raise NotImplementedError


if __name__ == "__main__":
    FILE.write_bytes(rendered())
