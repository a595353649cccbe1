"""Code snippets that send an event: from a page, a server (four languages), or a Google tag.

Their templates are in `code`. Snippets for servers read the key of the source from the environment
(KEY).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

KEY: Final = "TWITE_KEY"
SAMPLE: Final = MappingProxyType(
    {
        "conversion_id": "order-1001",
        "value": "49.90",
        "currency": "EUR",
        "email": "shopper@shop.example",
    }
)
_SERVER: Final = (
    f"On a server, with the key of the source in {KEY}; 202 means that the conversion is on disk."
)
_PIXEL: Final = "In the page, after X's base code (Events Manager, Install Pixel)."
_SCRIPT: Final = (
    "In the page, instead of the call to X's pixel. The script reports to X's pixel and to the "
    "gateway with the same id."
)
_SGTM: Final = (
    "Fields of the tag twite-tag.tpl in Google's server container; leave its other fields "
    "unchanged."
)
# Title, description and file extension, by kind.
KINDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "pixel": (
        "X's pixel",
        "In the page, after X's base code (Events Manager, Install Pixel).",
        "js",
    ),
    "script": ("our script", _SCRIPT, "js"),
    "curl": ("curl", _SERVER, "sh"),
    "python": ("Python", f"{_SERVER} With the client in `clients/python`.", "py"),
    "node": ("Node", f"{_SERVER} With the client in `clients/javascript/node`.", "mjs"),
    "php": ("PHP", f"{_SERVER} With the client `clients/php/Twite.php`, one file.", "php"),
    "sgtm": ("Google's server tag", _SGTM, "txt"),
}
_OF_PAGES: Final = frozenset({"pixel", "script"})


class Snippet(msgspec.Struct, frozen=True, kw_only=True):
    """A snippet to copy. `suffix` is the file extension."""

    kind: str
    title: str
    description: str
    text: str
    suffix: str


class SnippetCall(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a snippet: the event's name in the settings, X's id, the pixel, and the URL.

    `names_pixel` is whether the source may submit to several pixels.
    """

    name: str
    event: str
    pixel: str
    url: str
    names_pixel: bool = False

    @property
    def body(self) -> dict[str, str]:
        """A sample conversion, as a server submits it."""
        own = {"pixel": self.pixel} if self.names_pixel else {}
        return {"event": self.name, **own, **SAMPLE}


def snippets(call: SnippetCall, *, server_only: bool = False) -> tuple[Snippet, ...]:
    """Return all snippets; with `server_only`, those for pages are omitted."""
    from jinja2 import Environment, FileSystemLoader  # noqa: PLC0415  # few starts need it

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("code")),
        autoescape=False,  # noqa: S701  # the filters escape for each language
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"json": json.dumps, "js": _js, "shell": _shell, "php": _php}
    address = f"{call.url.rstrip('/')}/v1/conversions"
    tag = f"tw-{call.pixel}-{call.event}"
    return tuple(
        Snippet(
            kind=kind,
            title=title,
            description=description,
            text=templates.get_template(f"{kind}.txt").render(
                call=call, address=address, tag=tag, key=KEY
            ),
            suffix=suffix,
        )
        for kind, (title, description, suffix) in KINDS.items()
        if not (server_only and kind in _OF_PAGES)
    )


def _js(text: str) -> str:
    """Return a JavaScript string that is also safe in a page: `<` is escaped."""
    inner = json.dumps(text)[1:-1].replace('\\"', '"').replace("'", "\\'").replace("<", "\\u003c")
    return f"'{inner}'"


def _shell(text: str) -> str:
    quoted = text.replace("'", "'\\''")
    return f"'{quoted}'"


def _php(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"
