"""Pauses: why nothing but probes is sent to a pixel, or for one of its events."""

from enum import StrEnum

import msgspec


class Cause(StrEnum):
    """Why a pixel or an event is paused. The values are stored."""

    USER = "user"  # until a user resumes the pixel: not even probes are sent
    CREDENTIALS_REFUSED = "credentials_refused"  # X answers 401 or 403 to the pixel
    PIXEL_REFUSED = "pixel_refused"  # X refuses the pixel for another reason
    EVENT_REFUSED = "event_refused"  # X refuses all conversions of the event alike
    EVENT_FAILED = "event_failed"  # X fails at all conversions of the event
    EVENT_LIMITED = "event_limited"  # X limits only this event, until a reset that it names


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A pause of a pixel, or of its event `event` if that is set. `since` is in milliseconds."""

    pixel: str
    since: int
    cause: Cause
    reason: str
    event: str = ""


def pause_by_user(pixel: str, *, since: int, who: str) -> Pause:
    """Return a pause of a pixel at a user's request."""
    return Pause(pixel=pixel, since=since, cause=Cause.USER, reason=f"paused by hand, by {who}")
