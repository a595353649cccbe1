"""The file and the JSON options that several commands of `twite tag` have."""

from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from twite.cli import printing
from twite.tags.json_tree import Tree

Shape = TypeVar("Shape")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The template, a .tpl file")]
Given = Annotated[str, typer.Option("--data", metavar="JSON", help="The template's fields")]
Event = Annotated[str, typer.Option("--event", metavar="JSON", help="The event data")]
Request = Annotated[
    str,
    typer.Option("--request", metavar="JSON", help="The request as JSON: method, path, headers …"),
]
Answer = Annotated[
    str | None,
    typer.Option("--answer", metavar="JSON", help="The response to each request: status, body …"),
]


def object_in(text: str, option: str) -> dict[str, Tree]:
    """Decode an option that is a JSON object, or the name of a file with one."""
    return shaped(text, option, dict[str, Tree])


def shaped(text: str, option: str, shape: type[Shape]) -> Shape:
    """Decode an option as `object_in`, but to this type. Raises BadParameter."""
    try:
        content = text if text.lstrip().startswith("{") else Path(text).read_text("utf-8")
        return msgspec.json.decode(content.encode(), type=shape)
    except OSError as error:
        raise typer.BadParameter(
            f"{text} is neither a JSON object nor a file ({error.strerror})", param_hint=option
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def complain(error: str) -> None:
    """Print the error of a template. A plain JavaScript error already begins with "Error: "."""
    printing.complain(f"Error: {error.removeprefix('Error: ')}")
