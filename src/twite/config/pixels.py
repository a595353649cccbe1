"""`[[pixel]]`: build the destinations."""

from twite.config import values
from twite.config.schema import AuthTable, PixelTable
from twite.domain.destination import (
    Credentials,
    Destination,
    MissingCredentials,
    OAuthKeys,
    PixelToken,
)
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret


def destinations(written: tuple[PixelTable, ...], *, rate: int) -> tuple[Destination, ...]:
    """Check every pixel. `rate` is conversions in fifteen minutes."""
    made = tuple(
        _destination(pixel, f"pixel[{index}]", rate) for index, pixel in enumerate(written)
    )
    values.differ([destination.pixel for destination in made], "pixel[{}].id", "pixel")
    return made


def _destination(written: PixelTable, place: str, rate: int) -> Destination:
    pixel = written.id
    if not written.events:
        raise SettingsError(
            place=f"{place}.events",
            message='names no event. Write your name for it and X\'s id: { purchase = "o8z6k" }',
        )
    for name in written.events:
        values.name(name, f"{place}.events", "an event")
    first, fallback = _credentials(written.auth, f"{place}.auth")
    return Destination(
        pixel=pixel,
        credentials=first,
        fallback=fallback,
        events={
            name: values.event_id(event, f"{place}.events.{name}", pixel=pixel)
            for name, event in written.events.items()
        },
        account=written.account,
        rate=rate,
        is_cautious=written.on_ambiguous == "hold",
        value_guard=written.value_guard,
    )


def _credentials(written: AuthTable | None, place: str) -> tuple[Credentials, OAuthKeys | None]:
    """Return the preferred credentials, and the fallback. Without any, stored ones are used."""
    if written is None:
        return MissingCredentials(), None
    keys = _oauth_keys(written, place)
    if written.pixel_token is not None:
        return PixelToken(token=written.pixel_token), keys
    if keys is None:
        raise SettingsError(
            place=place,
            message="holds no credentials. "
            'Write { pixel_token = "env:X_PIXEL_TOKEN" }, or the four parts of OAuth 1.0a; or '
            "leave auth out and sign in with twite login",
        )
    return keys, None


def _oauth_keys(written: AuthTable, place: str) -> OAuthKeys | None:
    parts = {
        "consumer_key": written.consumer_key,
        "consumer_secret": written.consumer_secret,
        "token": written.token,
        "token_secret": written.token_secret,
    }
    missing = [name for name, part in parts.items() if part is None]
    if len(missing) == len(parts):
        return None
    if missing:
        raise SettingsError(
            place=f"{place}.{missing[0]}", message="is missing: OAuth 1.0a needs all four parts"
        )
    return OAuthKeys(
        consumer_key=written.consumer_key or "",
        consumer_secret=written.consumer_secret or Secret(""),
        token=written.token or "",
        token_secret=written.token_secret or Secret(""),
    )
