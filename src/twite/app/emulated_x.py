"""The built-in emulator of X: `x.emulator`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException

from twite.config.settings import Settings
from twite.domain.destination import Destination, PixelToken
from twite.domain.errors import SettingsError
from twite_emulator.process import Emulator, EmulatorError, Json, running_emulator

# The account of the emulator's default world.
_ACCOUNT = "18ce54d4x5t"


@contextmanager
def emulated_x(settings: Settings) -> Iterator[None]:
    """Run the emulator of `x.emulator`, which knows the pixels of the settings; stop it at the end.

    An emulator that already listens there is used, and keeps running. Without `x.emulator`, do
    nothing. Raises SettingsError if the emulator cannot start.
    """
    address = settings.x.emulator
    if address is None:
        yield
        return
    world = _world(settings)
    if _add(Emulator(f"http://{address}"), world):
        yield
        return
    try:
        with running_emulator(listen=str(address)) as emulator:
            emulator.add(**world)
            yield
    except EmulatorError as error:
        raise SettingsError("x.emulator", f"the emulator did not start: {error}") from None


def add_pixels(settings: Settings) -> None:
    """Add the pixels of reloaded settings to the running emulator of `x.emulator`."""
    _add(Emulator(f"http://{settings.x.emulator}"), _world(settings))


def _add(emulator: Emulator, world: Mapping[str, Json]) -> bool:
    """Add entries to a running emulator; return False if there is none."""
    try:
        emulator.add(**world)
    except (OSError, HTTPException, ValueError):
        return False
    return True


def _world(settings: Settings) -> dict[str, Json]:
    """Return the pixels and events of the settings as entries of the emulator's world."""
    pixels = settings.destinations()
    accounts = {pixel.account or _ACCOUNT for pixel in pixels}
    return {
        "accounts": [{"id": account} for account in sorted(accounts)],
        "pixels": [_pixel(pixel) for pixel in pixels],
        "events": [
            {"id": event, "pixel": pixel.pixel, "name": name}
            for pixel in pixels
            for name, event in pixel.events.items()
        ],
    }


def _pixel(destination: Destination) -> Json:
    entry: dict[str, Json] = {"id": destination.pixel, "account": destination.account or _ACCOUNT}
    if isinstance(destination.credentials, PixelToken):
        entry["token"] = destination.credentials.token.reveal()
    return entry
