"""Credentials: which of a pixel's two goes first with a request.

A pixel that moves from OAuth to a pixel token has both for a while. The new one goes first, and
once X has taken a conversion with it, X is not asked with the old one again. Where X does not know
who asks, the same request goes out with the other: X judges credentials before it reads a
conversion, so nothing can count twice. The choice is made anew for each request and touches
no conversion.
"""

from http import HTTPStatus
from typing import Final

import msgspec

from twite.domain.destination import Destination, OAuthKeys
from twite.domain.outcome import Delivered, Outcome, Rejected, RejectionScope
from twite.domain.times import MINUTE
from twite.gateway.ports.events import Observer, Presented
from twite.gateway.ports.store import Clock, NoResponse, Response

PIXEL_TOKEN: Final = "pixel_token"  # noqa: S105  the name of a way to ask
OAUTH: Final = "oauth"
# A new one that X refused goes second for so long: every request would be made twice otherwise.
AGAIN: Final = 10 * MINUTE
_UNKNOWN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class CredentialStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What X said last of a credential: `taken` is None before its first word.

    `at` is when, in milliseconds that never jump.
    """

    taken: bool | None = None
    at: int = 0


def goes_first(new: CredentialStatus, *, now: int) -> bool:
    """Whether the new credential goes before the old one: unless X refused it lately."""
    return new.taken is not False or now - new.at >= AGAIN


def verdict(came: Response | NoResponse, outcome: Outcome) -> bool | None:
    """Whether X took a credential; None where its answer does not say.

    404 is how X answers a user without a role on the pixel's account. [doc WEB]
    """
    if isinstance(outcome, Delivered):
        return True
    if not isinstance(outcome, Rejected) or outcome.scope is not RejectionScope.PIXEL:
        return None
    return False if isinstance(came, Response) and came.status in _UNKNOWN else None


class CredentialChooser:
    """The credentials of one pixel, and what X said of each."""

    def __init__(self, destination: Destination, *, clock: Clock, observer: Observer) -> None:
        self._destination = destination
        self._clock = clock
        self._observer = observer
        self._standings: dict[str, CredentialStatus] = {}

    def use(self, destination: Destination) -> None:
        """Ask with other credentials of the same pixel from now on."""
        self._destination = destination
        self._standings = {}

    def order(self) -> tuple[Destination, ...]:
        """Return the destination once for each credential, in the order they are to be tried."""
        one = self._destination
        if one.fallback is None:
            return (one,)
        old = msgspec.structs.replace(one, credentials=one.fallback, fallback=None)
        new = msgspec.structs.replace(one, fallback=None)
        first = goes_first(self._standing(new), now=self._clock.elapsed())
        return (new, old) if first else (old, new)

    def hear(self, asked: Destination, came: Response | NoResponse, outcome: Outcome) -> bool:
        """Hear what came of a request; return whether X refused who asked."""
        taken = verdict(came, outcome)
        ours = (self._destination.credentials, self._destination.fallback)
        # Asked before others were put in: X's word is on what is gone.
        if taken is not None and asked.credentials in ours:
            before = self._standing(asked).taken
            self._standings[_name(asked)] = CredentialStatus(taken=taken, at=self._clock.elapsed())
            self._observer.see(
                Presented(
                    pixel=asked.pixel, credential=_name(asked), taken=taken, turned=taken != before
                )
            )
        return taken is False

    def _standing(self, asked: Destination) -> CredentialStatus:
        return self._standings.get(_name(asked), CredentialStatus())


def _name(asked: Destination) -> str:
    return OAUTH if isinstance(asked.credentials, OAuthKeys) else PIXEL_TOKEN
