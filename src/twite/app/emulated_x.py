"""The built-in emulator of X: `x.emulator`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException

from twite.config.settings import Settings
from twite.domain.errors import SettingsError
from twite.senders.in_process_emulator import world_of
from twite_emulator.process import Emulator, EmulatorError, Json, running_emulator


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
    world = world_of(settings.destinations())
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
    _add(Emulator(f"http://{settings.x.emulator}"), world_of(settings.destinations()))


def _add(emulator: Emulator, world: Mapping[str, Json]) -> bool:
    """Add entries to a running emulator; return False if there is none."""
    try:
        emulator.add(**world)
    except (OSError, HTTPException, ValueError):
        return False
    return True
