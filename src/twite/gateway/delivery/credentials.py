"""Credentials: choose which of a pixel's two credentials (pixel token, OAuth) to try first.

A pixel that moves from OAuth to a pixel token has both for a while. The pixel token is tried first.
If X refuses it (401, 403, 404), the same request is sent with the other one. X checks credentials
before it reads conversions, so no conversion counts twice. Each request chooses again.
"""

from http import HTTPStatus
from typing import Final

import msgspec

from twite.domain.destination import Destination, OAuthKeys
from twite.domain.outcome import Delivered, Outcome, Rejected, RejectionScope
from twite.domain.times import MINUTE
from twite.gateway.ports.events import Observer, Presented
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.transport import NoResponse, Response

PIXEL_TOKEN: Final = "pixel_token"  # noqa: S105  the name of an authentication method
OAUTH: Final = "oauth"
# If X refuses the new credential, the old one is tried first for this long. Otherwise, each request
# would be sent twice.
AGAIN: Final = 10 * MINUTE
_UNKNOWN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class CredentialStatus(msgspec.Struct, frozen=True, kw_only=True):
    """X's last verdict on a credential: `taken` says whether X accepted it (None: not known yet).

    `at` is the time of the verdict, in milliseconds of the monotonic clock.
    """

    taken: bool | None = None
    at: int = 0


def goes_first(status: CredentialStatus, *, now: int) -> bool:
    """Whether to try the new credential first: yes, unless X refused it recently."""
    return status.taken is not False or now - status.at >= AGAIN


def verdict(response: Response | NoResponse, outcome: Outcome) -> bool | None:
    """Whether X accepted a credential; None if the response does not tell.

    X returns 404 to a user without a role on the pixel's account. [doc WEB]
    """
    if isinstance(outcome, Delivered):
        return True
    if not isinstance(outcome, Rejected) or outcome.scope is not RejectionScope.PIXEL:
        return None
    return False if isinstance(response, Response) and response.status in _UNKNOWN else None


class CredentialChooser:
    """The credentials of one pixel, and X's verdict on each."""

    def __init__(self, destination: Destination, *, clock: Clock, observer: Observer) -> None:
        self._destination = destination
        self._clock = clock
        self._observer = observer
        self._standings: dict[str, CredentialStatus] = {}

    def use(self, destination: Destination) -> None:
        self._destination = destination
        self._standings = {}

    def order(self) -> tuple[Destination, ...]:
        """Return the destination with each credential, in the order in which to try them."""
        destination = self._destination
        if destination.fallback is None:
            return (destination,)
        old = msgspec.structs.replace(destination, credentials=destination.fallback, fallback=None)
        new = msgspec.structs.replace(destination, fallback=None)
        first = goes_first(self._status(new), now=self._clock.elapsed())
        return (new, old) if first else (old, new)

    def record(
        self, destination: Destination, response: Response | NoResponse, outcome: Outcome
    ) -> bool:
        """Record the response; return whether X refused the credential."""
        taken = verdict(response, outcome)
        ours = (self._destination.credentials, self._destination.fallback)
        # Ignore a verdict on credentials that were replaced during the request.
        if taken is not None and destination.credentials in ours:
            before = self._status(destination).taken
            self._standings[_name(destination)] = CredentialStatus(
                taken=taken, at=self._clock.elapsed()
            )
            self._observer.see(
                Presented(
                    pixel=destination.pixel,
                    credential=_name(destination),
                    taken=taken,
                    turned=taken != before,
                )
            )
        return taken is False

    def _status(self, destination: Destination) -> CredentialStatus:
        return self._standings.get(_name(destination), CredentialStatus())


def _name(destination: Destination) -> str:
    return OAUTH if isinstance(destination.credentials, OAuthKeys) else PIXEL_TOKEN
