"""Code snippets that send an event: from a page, a server (four languages), or a Google tag.

Snippets for servers read the key of the source from the environment (KEY).
"""

import json
from collections.abc import Callable, Mapping
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
    return tuple(
        make(call)
        for kind, make in MAKERS.items()
        if not (server_only and kind in {"pixel", "script"})
    )


def _pixel(call: SnippetCall) -> Snippet:
    event = f"tw-{call.pixel}-{call.event}"
    text = f"""twq('event', {_js(event)}, {{
  value: 49.90,
  currency: 'EUR',
  conversion_id: 'order-1001', // the id that your server sends, too: X drops the second copy
  email_address: 'shopper@shop.example',
}});
"""
    description = "In the page, after X's base code (Events Manager, Install Pixel)."
    return Snippet(kind="pixel", title="X's pixel", description=description, text=text, suffix="js")


def _script(call: SnippetCall) -> Snippet:
    text = f"""twite({_js(call.name)}, {{
  order_id: 'order-1001',
  value: 49.90,
  currency: 'EUR',
  email: 'shopper@shop.example',
}});
"""
    description = (
        "In the page, instead of the call to X's pixel. The script reports to X's pixel and to the "
        "gateway with the same id."
    )
    return Snippet(
        kind="script", title="our script", description=description, text=text, suffix="js"
    )


def _curl(call: SnippetCall) -> Snippet:
    body = _shell(json.dumps(call.body))
    text = f"""curl --fail-with-body --silent --show-error {_shell(_address(call))} \\
  --header "Authorization: Bearer ${KEY}" \\
  --header 'Content-Type: application/json' \\
  --data {body}
"""
    return Snippet(kind="curl", title="curl", description=_SERVER, text=text, suffix="sh")


def _python(call: SnippetCall) -> Snippet:
    rows = "".join(f"    {json.dumps(k)}: {json.dumps(v)},\n" for k, v in call.body.items())
    text = f"""import json
import os
import urllib.error
import urllib.request

conversion = {{
{rows}}}
request = urllib.request.Request(
    {json.dumps(_address(call))},
    data=json.dumps(conversion).encode(),
    headers={{
        "Authorization": f"Bearer {{os.environ['{KEY}']}}",
        "Content-Type": "application/json",
    }},
)
try:
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as refusal:
    raise SystemExit(f"{{refusal.code}} {{refusal.read().decode()}}")
"""
    return Snippet(kind="python", title="Python", description=_SERVER, text=text, suffix="py")


def _node(call: SnippetCall) -> Snippet:
    rows = "".join(f"  {k}: {_js(v)},\n" for k, v in call.body.items())
    text = f"""const conversion = {{
{rows}}};
const answer = await fetch({_js(_address(call))}, {{
  method: 'POST',
  headers: {{
    'Authorization': `Bearer ${{process.env.{KEY}}}`,
    'Content-Type': 'application/json',
  }},
  body: JSON.stringify(conversion),
  signal: AbortSignal.timeout(10_000),
}});
if (!answer.ok) throw new Error(`${{answer.status}} ${{await answer.text()}}`);
console.log(await answer.text());
"""
    description = f"{_SERVER} Node 18 or newer."
    return Snippet(kind="node", title="Node", description=description, text=text, suffix="mjs")


def _php(call: SnippetCall) -> Snippet:
    rows = "".join(f"    {_php_text(k)} => {_php_text(v)},\n" for k, v in call.body.items())
    text = f"""<?php
$conversion = [
{rows}];
$stream = fopen({_php_text(_address(call))}, 'r', false, stream_context_create([
    'http' => [
        'method' => 'POST',
        'header' => [
            'Authorization: Bearer ' . getenv('{KEY}'),
            'Content-Type: application/json',
        ],
        'content' => json_encode($conversion),
        'timeout' => 10,
        'ignore_errors' => true,
    ],
]));
if ($stream === false) throw new Exception('no answer');
$answer = stream_get_contents($stream);
$status = stream_get_meta_data($stream)['wrapper_data'][0];
if (!preg_match('/ 2\\d\\d /', "$status ")) throw new Exception("$status $answer");
echo $answer, PHP_EOL;
"""
    return Snippet(kind="php", title="PHP", description=_SERVER, text=text, suffix="php")


def _sgtm(call: SnippetCall) -> Snippet:
    rows = {
        "Gateway address": call.url,
        "Source key": f"the key of the source, the value of {KEY} above",
        "Pixel": call.pixel if call.names_pixel else "(empty)",
        "Which event is it?": "Always the same",
        "Event": call.name,
    }
    width = max(map(len, rows))
    text = "".join(f"{name:<{width}}  {value}\n" for name, value in rows.items())
    description = (
        "Fields of the tag twite-tag.tpl in Google's server container; leave its other fields "
        "unchanged."
    )
    return Snippet(
        kind="sgtm", title="Google's server tag", description=description, text=text, suffix="txt"
    )


MAKERS: Final[Mapping[str, Callable[[SnippetCall], Snippet]]] = MappingProxyType(
    {
        "pixel": _pixel,
        "script": _script,
        "curl": _curl,
        "python": _python,
        "node": _node,
        "php": _php,
        "sgtm": _sgtm,
    }
)


def _address(call: SnippetCall) -> str:
    return f"{call.url.rstrip('/')}/v1/conversions"


def _js(text: str) -> str:
    """Return a JavaScript string that is also safe in a page: `<` is escaped."""
    inner = json.dumps(text)[1:-1].replace('\\"', '"').replace("'", "\\'").replace("<", "\\u003c")
    return f"'{inner}'"


def _shell(text: str) -> str:
    quoted = text.replace("'", "'\\''")
    return f"'{quoted}'"


def _php_text(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"
