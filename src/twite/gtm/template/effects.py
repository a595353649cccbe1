"""What a template may ask for, as values. An engine returns them; whoever runs it performs them.

Effects that carry an `id` are answered: the answer names it (see sandbox.Answer). Numbers of
milliseconds are whole. All others are told once and need no answer.
"""

from typing import TypeAlias

import msgspec

from twite.domain.json_tree import Tree


class Effect(msgspec.Struct, frozen=True, kw_only=True, tag_field="effect", omit_defaults=True):
    """The root of all effects."""


class HttpEffect(Effect, frozen=True, kw_only=True, tag="request"):
    """An HTTP request. `url` is absolute and normalised; `authorization` asks for Google's."""

    id: int
    url: str
    method: str
    headers: dict[str, str] = {}
    body: str | None = None
    timeout: int = 15_000
    authorization: tuple[str, ...] | None = None  # OAuth scopes

    def __repr__(self) -> str:
        return f"Request({self.id}, {self.method})"  # addresses and bodies hold persons and keys


class SetCookie(Effect, frozen=True, kw_only=True, tag="cookie"):
    """A cookie for the response. `value` is as it goes into the header; `domain` may be "auto"."""

    name: str
    value: str
    domain: str | None = None
    fallback_domain: str | None = None
    path: str | None = None
    expires: str | None = None
    max_age: int | None = None
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None

    def __repr__(self) -> str:
        return f"SetCookie({self.name})"


class LogEffect(Effect, frozen=True, kw_only=True, tag="log"):
    """A line for the log. `denied` names a permission that a call of the template lacked.

    `own` marks what the sandbox itself has to say.
    """

    text: str
    denied: str | None = None
    own: bool = False


class Status(Effect, frozen=True, kw_only=True, tag="status"):
    """The status of the response."""

    code: int


class Header(Effect, frozen=True, kw_only=True, tag="header"):
    """A header of the response, its name in lower case; None takes it away."""

    name: str
    value: str | None = None


class Body(Effect, frozen=True, kw_only=True, tag="body"):
    """The body of the response, in Node's word for its encoding."""

    text: str
    encoding: str = "utf8"


class PixelBody(Effect, frozen=True, kw_only=True, tag="pixel_body"):
    """A response of a GIF of one pixel that no cache keeps, with status 200."""


class Respond(Effect, frozen=True, kw_only=True, tag="respond"):
    """Send the response as it stands."""


class BrowserPixel(Effect, frozen=True, kw_only=True, tag="browser_pixel"):
    """An address that the browser shall fetch as an image."""

    url: str


class MessageEffect(Effect, frozen=True, kw_only=True, tag="message"):
    """A message to the listeners of other templates."""

    type: str
    content: Tree


class Keep(Effect, frozen=True, kw_only=True, tag="keep"):
    """A change of the template's storage; `value` None removes the item."""

    key: str
    value: Tree = None


class Forget(Effect, frozen=True, kw_only=True, tag="forget"):
    """Empty the template's storage."""


class ClaimEffect(Effect, frozen=True, kw_only=True, tag="claim"):
    """A client claims the request."""


class RunContainer(Effect, frozen=True, kw_only=True, tag="run_container"):
    """Run tags for an event; answered twice where both callbacks were given."""

    id: int
    event: dict[str, Tree]
    on_start: bool = False
    on_complete: bool = False


class AfterEvent(Effect, frozen=True, kw_only=True, tag="after_event"):
    """Answer when all tags of the event have run.

    `event` is the id of the RunContainer whose event it is bound to; 0 where it is bound to none.
    """

    id: int
    event: int = 0


class Service(Effect, frozen=True, kw_only=True, tag="service"):
    """A call of a Google service, as `BigQuery.insert`, with its arguments."""

    id: int
    name: str
    arguments: list[Tree]


AnyEffect: TypeAlias = (
    HttpEffect
    | SetCookie
    | LogEffect
    | Status
    | Header
    | Body
    | PixelBody
    | Respond
    | BrowserPixel
    | MessageEffect
    | Keep
    | Forget
    | ClaimEffect
    | RunContainer
    | AfterEvent
    | Service
)
