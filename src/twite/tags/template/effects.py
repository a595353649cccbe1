"""Effects: a template's requests, cookies, logs and responses, as values.

An engine returns them; the caller performs them. Effects with an `id` get an answer with this id
(see sandbox.EffectAnswer). Milliseconds are whole numbers. All other effects need no answer.
"""

from typing import TypeAlias

import msgspec

from twite.tags.json_tree import Tree


class Effect(msgspec.Struct, frozen=True, kw_only=True, tag_field="effect", omit_defaults=True):
    """The base of all effects."""


class HttpEffect(Effect, frozen=True, kw_only=True, tag="request"):
    """An HTTP request.

    `url` is absolute and normalised; `authorization` requests a Google token.
    """

    id: int
    url: str
    method: str
    headers: dict[str, str] = {}
    body: str | None = None
    timeout: int = 15_000
    authorization: tuple[str, ...] | None = None  # OAuth scopes

    def __repr__(self) -> str:
        return (
            f"HttpEffect({self.id}, {self.method})"  # URLs and bodies hold personal data and keys
        )


class SetCookie(Effect, frozen=True, kw_only=True, tag="cookie"):
    """A cookie of the response. `value` is encoded as in the header; `domain` may be "auto"."""

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
    """A log line. `denied` names a permission that a call of the template lacked.

    `own` marks lines from the sandbox.
    """

    text: str
    denied: str | None = None
    own: bool = False


class Status(Effect, frozen=True, kw_only=True, tag="status"):
    code: int


class Header(Effect, frozen=True, kw_only=True, tag="header"):
    """A header of the response, its name in lower case; None removes it."""

    name: str
    value: str | None = None


class Body(Effect, frozen=True, kw_only=True, tag="body"):
    text: str
    encoding: str = "utf8"


class PixelBody(Effect, frozen=True, kw_only=True, tag="pixel_body"):
    """Respond with an uncacheable one-pixel GIF and status 200."""


class Respond(Effect, frozen=True, kw_only=True, tag="respond"):
    """Send the response in its current state."""


class BrowserPixel(Effect, frozen=True, kw_only=True, tag="browser_pixel"):
    url: str


class MessageEffect(Effect, frozen=True, kw_only=True, tag="message"):
    """A message to the listeners of other templates."""

    type: str
    content: Tree


class Keep(Effect, frozen=True, kw_only=True, tag="keep"):
    """Change an item in the template's storage; if `value` is None, remove it."""

    key: str
    value: Tree = None


class Forget(Effect, frozen=True, kw_only=True, tag="forget"):
    """Empty the template's storage."""


class ClaimEffect(Effect, frozen=True, kw_only=True, tag="claim"):
    """A client claims the request."""


class RunContainer(Effect, frozen=True, kw_only=True, tag="run_container"):
    """Run tags for an event. Each of the callbacks that are given gets an answer."""

    id: int
    event: dict[str, Tree]
    on_start: bool = False
    on_complete: bool = False


class AfterEvent(Effect, frozen=True, kw_only=True, tag="after_event"):
    """Answer when all tags of the event have run.

    `event` is the id of the RunContainer that created the event; 0 for the run's own event.
    """

    id: int
    event: int = 0


class Service(Effect, frozen=True, kw_only=True, tag="service"):
    """A call to a Google service, such as `BigQuery.insert`, with its arguments."""

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
